"""One file an executor: `npu.py` holds the class `Executor` that `swarmops worker --role npu` runs."""
