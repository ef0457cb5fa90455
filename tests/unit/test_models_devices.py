"""NPU, GPU, CPU: what is missing is said and is no failure. No such device is here; the CPU does the work for real."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from swarmops.runtime.errors import Invalid
from swarmops.workers.models.devices import Devices, compile_on, look


def small() -> object:
    x = op.parameter([2], np.float32, name="x")
    return ov.Model([op.result(op.relu(x))], [x], "small")


@pytest.fixture(scope="module")
def core() -> object:
    return ov.Core()


def test_the_cpu_is_always_there_and_the_rest_is_explained(core: object, tmp_path: Path) -> None:
    found = look(core, tmp_path)
    assert found.found[-1].startswith("CPU") and found.names[found.found[-1]]
    for which in {"npu", "gpu"} & set(found.lacking):
        assert found.lacking[which].startswith("not found: there is no /dev/")


def test_a_device_node_without_its_driver_is_said(core: object, tmp_path: Path) -> None:
    (tmp_path / "dev/accel").mkdir(parents=True)
    node = tmp_path / "dev/accel/accel0"
    node.touch()
    found = look(core, tmp_path)
    if "npu" not in found.lacking:
        pytest.skip("there is an NPU here")
    assert "OpenVINO lists no NPU: it needs" in found.lacking["npu"]
    if os.geteuid():
        node.chmod(0)
        assert "group render" in look(core, tmp_path).lacking["npu"]


def test_a_device_that_does_not_take_the_model_is_passed_over(core: object, tmp_path: Path) -> None:
    if "NPU" in look(core).found:
        pytest.skip("there is an NPU here")
    on = compile_on(core, small(), ["NPU", "CPU"], {"INFERENCE_PRECISION_HINT": "f32"}, tmp_path)
    assert on.device == "CPU" and list(on.skipped) == ["NPU"] and on.skipped["NPU"]
    assert on.model.create_infer_request().infer([np.array([-1, 2], np.float32)])[0].tolist() == [0, 2]
    with pytest.raises(Invalid, match="no device takes it: NPU: "):
        compile_on(core, small(), ["NPU"], {}, tmp_path)


def test_a_wish_goes_first_if_it_is_here() -> None:
    here = Devices(("NPU", "GPU.0", "GPU.1", "CPU"))
    assert here.preferring("auto") == here
    assert here.preferring("gpu").found == ("GPU.0", "GPU.1", "NPU", "CPU")
    assert here.preferring("GPU.1").found == ("GPU.1", "NPU", "GPU.0", "CPU")
    assert Devices(("CPU",)).preferring("NPU").found == ("CPU",)
    with pytest.raises(Invalid, match=r"options\.device: 'TPU' is none of NPU, GPU, CPU, auto"):
        here.preferring("TPU")
