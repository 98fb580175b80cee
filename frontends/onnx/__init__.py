"""ONNX models into stage 0, and their `Attention` nodes into stage 1, over the onnx package alone."""

from flashlower.frontends.onnx.model import from_onnx
from flashlower.frontends.onnx.package import OnnxModelError

__all__ = ["OnnxModelError", "from_onnx"]
