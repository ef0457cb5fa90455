"""Where models run: an NPU before a GPU before the CPU (S4-25). What is missing is said, and is no failure.

Devices are those that OpenVINO lists. The CPU is always among them; NPU and GPU need the host's drivers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.runtime.errors import Invalid

ORDER = ("NPU", "GPU", "CPU")
NODES = {"NPU": "dev/accel/accel*", "GPU": "dev/dri/renderD*"}
NEEDS = {
    "NPU": "there is no /dev/accel/accel* (an Intel NPU and the kernel module intel_vpu make one)",
    "GPU": "there is no /dev/dri/renderD* (a graphics card and its kernel driver make one)",
}
USERSPACE = {"NPU": "the user-space driver (intel-driver-compiler-npu, level-zero)", "GPU": "intel-opencl-icd"}


@dataclass(frozen=True, slots=True)
class Devices:
    """found: OpenVINO's names, best first; names: what they call themselves; lacking: why the others are not there."""

    found: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)

    def preferring(self, wanted: str) -> Devices:
        """The same with one kind first (`auto`: as they are), if it is here. Raises Invalid for what is no device."""
        wanted = wanted.upper()
        if wanted != "AUTO" and kind(wanted) not in ORDER:
            raise Invalid("options.device", f"{wanted[:40]!r} is none of {', '.join(ORDER)}, auto")
        first = tuple(d for d in self.found if wanted in (d, kind(d)))
        return Devices(first + tuple(d for d in self.found if d not in first), self.names, self.lacking)


def kind(device: str) -> str:
    """`GPU` of `GPU.1`."""
    return device.split(".")[0]


def look(core: Any, root: str | Path = "/") -> Devices:
    """The devices of this host. `root` is where to look for device nodes."""
    listed = list(core.available_devices)
    found = [d for wanted in ORDER for d in sorted(listed) if kind(d) == wanted]
    names = {d: _name(core, d) for d in found}
    lacking = {
        k.lower(): f"not found: {_why(k, Path(root))}"
        for k in ORDER
        if k not in {kind(d) for d in found} and k in NODES
    }
    return Devices(tuple(found), names, lacking)


def _name(core: Any, device: str) -> str:
    try:
        return str(core.get_property(device, "FULL_DEVICE_NAME")).strip()
    except RuntimeError as e:  # a driver that is half there; compiling will say more
        return f"does not say its name: {short(e)}"


def _why(which: str, root: Path) -> str:
    nodes = sorted(root.glob(NODES[which]))
    if not nodes:
        return NEEDS[which]
    closed = [n for n in nodes if not os.access(n, os.R_OK | os.W_OK)]
    if len(closed) == len(nodes):
        return f"{closed[0]} may not be used by this user (add it to the group render)"
    return f"{nodes[0]} is there, but OpenVINO lists no {which}: it needs {USERSPACE[which]}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model on a device. skipped: devices before it that would not take the model, each with the reason."""

    model: Any
    device: str
    skipped: Mapping[str, str] = field(default_factory=dict)


def compile_on(core: Any, model: Any, devices: Sequence[str], settings: Mapping[str, Any], cache: Path) -> Compiled:
    """`model` on the first device that takes it. Raises Invalid with all reasons when none does.

    cache: a folder for what NPU and GPU make of a model, which takes them seconds.
    """
    skipped: dict[str, str] = {}
    for device in devices:
        own = {k: v for k, v in settings.items() if k != "INFERENCE_PRECISION_HINT" or kind(device) != "NPU"}
        if kind(device) != "CPU":
            own["CACHE_DIR"] = str(cache)
        else:
            own = {k: v for k, v in own.items() if k != "CACHE_DIR"}
        try:
            return Compiled(core.compile_model(model, device, own), device, skipped)
        except (RuntimeError, TypeError) as e:
            skipped[device] = short(e)
    raise Invalid("model", "no device takes it: " + "; ".join(f"{d}: {why}" for d, why in skipped.items()))


def short(e: BaseException) -> str:
    """What OpenVINO said, without the places in its own source."""
    lines = [line.strip() for line in str(e).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return (said[-1] if said else " ".join(lines))[:300] or type(e).__name__
