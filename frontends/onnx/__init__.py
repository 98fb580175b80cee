"""ONNX models into stage 0, and their `Attention` nodes into stage 1, over the onnx package alone."""

# Importing these fills the table of lowering functions.
from flashlower.frontends.onnx import (  # noqa: F401
    activations,
    arithmetic,
    attention,
    control_flow,
    conversion,
    indexing,
    linear,
    normalization,
    reduction,
    scatter,
    shape,
)
from flashlower.frontends.onnx.model import from_onnx
from flashlower.frontends.onnx.package import OnnxModelError

__all__ = ["OnnxModelError", "from_onnx"]
