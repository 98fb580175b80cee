"""The onnx package, which the extra `onnx` brings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np


class OnnxModelError(ValueError):
    """A model that cannot be imported. The message says what is wrong, where, and what to do."""


def onnx_package(name: str = "onnx") -> Any:
    """The module `name` of the onnx package. Raises `ImportError` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as e:
        raise ImportError("from_onnx needs the onnx package: pip install 'flashlower[onnx]'") from e


def element_dtype(data_type: int, what: str) -> np.dtype[Any]:
    """The dtype of a number of `TensorProto.DataType`. Raises `OnnxModelError` for types that are no numbers."""
    onnx = onnx_package()
    names = onnx.TensorProto.DataType.Name
    try:
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(data_type)
        name: str = names(data_type)
    except (KeyError, ValueError) as e:
        raise OnnxModelError(f"{what} has the unknown element type {data_type}") from e
    if name in ("STRING", "UNDEFINED") or dtype == np.dtype(object):
        raise OnnxModelError(f"{what} has element type {name}, but only tensors of numbers and booleans are imported")
    return dtype


def constant_array(tensor: Any, what: str) -> np.ndarray[Any, Any]:
    """The array of a `TensorProto` whose data is in the model. Raises `OnnxModelError` where it has none that fits."""
    onnx = onnx_package()
    element_dtype(tensor.data_type, what)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise OnnxModelError(
            f"{what} has its data in another file: pass the model's path to from_onnx, or call "
            "onnx.external_data_helper.load_external_data_for_model first"
        )
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as e:
        raise OnnxModelError(f"{what} has data that does not fit its type and shape: {e}") from e
