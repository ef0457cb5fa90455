"""What NPU, AI, browser and shell hosts do: executors in one worker process (`swarmops worker --role npu`)."""
