"""Tensors in tasks: nested lists, or {"dtype": "f32", "shape": [2, 3], "data": base64} (or "ref": "ctx:...")."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmops.runtime.errors import Invalid, TooLarge
from swarmops.workers.executor import Setting

Array = npt.NDArray[Any]
DTYPES = {
    **{"f16": np.float16, "f32": np.float32, "f64": np.float64, "bool": np.bool_},
    **{"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64},
    **{"u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64},
}
NAMES = {np.dtype(t): name for name, t in DTYPES.items()}
LARGEST = 64 << 20  # bytes of all inputs, or of all outputs
INLINE = 384 << 10  # bytes of outputs in the result itself; what is larger goes to the context store


def dtype_of(value: object, path: str) -> np.dtype[Any]:
    """Of `f32` or `float32`. Raises Invalid."""
    for name, found in DTYPES.items():
        if value in (name, np.dtype(found).name):
            return np.dtype(found)
    raise Invalid(path, f"{str(value)[:40]!r} is no type of numbers (there are {', '.join(DTYPES)})")


def is_packed(value: object) -> bool:
    return isinstance(value, Mapping)


def of_lists(value: object, wanted: np.dtype[Any], path: str) -> Array:
    """Nested lists as the model wants them. Raises Invalid for ragged ones and numbers that do not fit."""
    try:
        plain = np.asarray(value)
    except ValueError:
        raise Invalid(path, "is not a tensor: its lists are not equally long") from None
    if plain.dtype.kind not in "bifu":
        raise Invalid(path, "is not a tensor: it holds something else than numbers")
    if plain.dtype.kind == "f" and wanted.kind in "iub":
        raise Invalid(path, f"holds fractions, the model wants {NAMES[wanted]}")
    found = plain.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(found, plain):
        raise Invalid(path, f"holds numbers that {NAMES[wanted]} cannot")
    return found


def of_bytes(value: Mapping[str, Any], data: bytes, path: str) -> Array:
    """The tensor whose content is `data`. Raises Invalid."""
    dtype, shape = dtype_of(value.get("dtype"), f"{path}.dtype"), shape_of(value.get("shape"), f"{path}.shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Invalid(
            f"{path}.data", f"has {len(data):,} bytes; {NAMES[dtype]} of shape {list(shape)} has "
            f"{math.prod(shape) * dtype.itemsize:,}"
        )  # fmt: skip
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def shape_of(value: object, path: str) -> tuple[int, ...]:
    sizes = value if isinstance(value, list) and len(value) <= 16 else [None]
    if all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 31 for n in sizes):
        return tuple(sizes)
    raise Invalid(path, f"{str(value)[:80]!r} is not a shape (a list of whole numbers)")


async def read(setting: Setting, name: str, value: object, wanted: np.dtype[Any]) -> Array:
    """An input as a task has it. Raises Invalid, TooLarge, NotFound."""
    path = f"inputs.{name}"
    if not isinstance(value, Mapping):
        return of_lists(value, wanted, path)
    if set(value) - {"dtype", "shape", "data", "ref"} or ("data" in value) == ("ref" in value):
        raise Invalid(path, "is neither nested lists nor {dtype, shape, data: base64} nor {dtype, shape, ref}")
    if "ref" in value:
        data = await setting.runtime.contexts.read(value["ref"])
    else:
        try:
            data = base64.b64decode(value["data"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise Invalid(f"{path}.data", "is not base64") from None
    if len(data) > LARGEST:
        raise TooLarge(path, f"has {len(data):,} bytes, the most is {LARGEST:,}")
    found = of_bytes(value, data, path)
    if found.dtype != wanted:
        raise Invalid(f"{path}.dtype", f"is {NAMES[found.dtype]}, the model wants {NAMES[wanted]}")
    return found


async def shown(setting: Setting, outputs: Mapping[str, Array], packed: bool) -> dict[str, Any]:
    """Outputs as the result has them: as the inputs came; large ones in the context store. Raises Invalid, TooLarge."""
    size = sum(a.nbytes for a in outputs.values())
    if size > LARGEST:
        raise TooLarge("outputs", f"have {size:,} bytes, the most is {LARGEST:,}")
    found: dict[str, Any] = {}
    for name, array in outputs.items():
        if packed or size > INLINE / 6:  # a number in lists takes up to 3 times its bytes, and base64 a third more
            found[name] = await _packed(setting, array, apart=size > INLINE)
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Invalid(f"outputs.{name}", "holds NaN or infinity, which JSON cannot: send the inputs as base64")
        else:
            found[name] = array.tolist()
    return found


async def _packed(setting: Setting, array: Array, apart: bool) -> dict[str, Any]:
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    about = {"dtype": NAMES[array.dtype], "shape": list(array.shape)}
    if apart:
        return {**about, "ref": (await setting.runtime.contexts.store(data, "output of infer")).ref}
    return {**about, "data": base64.b64encode(data).decode()}
