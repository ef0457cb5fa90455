"""One file an executor: `npu.py` holds the class `Executor` that `swarmops worker --role npu` runs."""

import sys

# OpenVINO reports home where this package is beside it and nobody has objected. Nothing of ours does.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
