"""NKI's dtypes, which are strings, their NumPy types, and the conversion that a store does."""

import ml_dtypes
import numpy as np
from nki._rules import fail

NUMPY: dict[str, np.dtype] = {
    "bool": np.dtype(np.uint8),
    "int8": np.dtype(np.int8),
    "int16": np.dtype(np.int16),
    "int32": np.dtype(np.int32),
    "uint8": np.dtype(np.uint8),
    "uint16": np.dtype(np.uint16),
    "uint32": np.dtype(np.uint32),
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3": np.dtype(ml_dtypes.float8_e4m3),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}
FLOATS = frozenset(name for name in NUMPY if "float" in name)
INTEGERS = frozenset(NUMPY) - FLOATS
_NAMES = {value: name for name, value in NUMPY.items() if name != "bool"} | {np.dtype(np.bool_): "bool"}


def numpy_dtype(dtype: object) -> np.dtype:
    """The NumPy type of an NKI dtype."""
    if not isinstance(dtype, str) or dtype not in NUMPY:
        fail("dtype", f"{dtype!r} is not a dtype of nki.language that the model knows")
    return NUMPY[str(dtype)]


def dtype_name(dtype: np.dtype) -> str:
    """The NKI dtype of a NumPy array."""
    if dtype not in _NAMES:
        fail("dtype", f"NKI has no {dtype}")
    return _NAMES[dtype]


def convert(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` as they are stored in `dtype`.

    Floats are rounded to nearest, ties to even; a float stored as an integer saturates (documented: the fixes of
    nki.simulate in 0.6.0). Integers of the same type are copied bit by bit; other pairs go through float32.
    """
    to = NUMPY[dtype]
    if values.dtype == to:
        return values
    if values.dtype.kind in "iub" and dtype in INTEGERS and np.can_cast(values.dtype, to):
        return values.astype(to)
    values = values if values.dtype == np.float32 else values.astype(np.float32)
    if dtype in INTEGERS:
        info = np.iinfo(to)
        rounded = np.rint(values.astype(np.float64))
        return np.clip(np.nan_to_num(rounded, nan=0.0, posinf=info.max, neginf=info.min), info.min, info.max).astype(to)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(to)
