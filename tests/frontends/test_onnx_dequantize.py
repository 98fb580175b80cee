"""ONNX models that dequantise K and V: from_onnx and fuse-attention make codes with scales, and the same numbers.

Per tensor, per axis and in blocks, with zero points, 4-bit integers and 8-bit floats; the attention spelled out in
MatMul and Softmax, and as one Attention node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

import flashlower as fl  # noqa: E402
from flashlower.dialects.attention import SdpaOp  # noqa: E402
from flashlower.dialects.attention.layout import layout_to_str  # noqa: E402
from flashlower.dialects.parsing import make_context, parse_module  # noqa: E402
from flashlower.interpreters import run_module  # noqa: E402
from flashlower.rewrites.fuse_attention import FuseAttentionPass  # noqa: E402

B, H, M, N, D = 2, 3, 4, 32, 16
helper, TensorProto = onnx.helper, onnx.TensorProto


@dataclass
class Form:
    """How K is dequantised, and its description in the operation."""

    data_type: str
    shape: tuple[int, ...]
    """The shape of scales and zero points."""
    attributes: dict[str, int]
    zeros: bool
    expected: str

    def __str__(self) -> str:
        return f"{self.data_type}-{'x'.join(map(str, self.shape))}-{self.zeros}"


FORMS = [
    Form("INT8", (), {}, False, "i8 scale[]"),
    Form("UINT8", (H,), {"axis": 1}, True, "u8 scale[h] zero[h]"),
    Form("INT4", (B, H, N, 2), {"axis": -1, "block_size": 8}, False, "i4 scale[b, h, n, k floordiv 8]"),
    Form(
        "UINT4",
        (B, H, 4, D),
        {"axis": 2, "block_size": 8},
        True,
        "u4 scale[b, h, n floordiv 8, k] zero[b, h, n floordiv 8, k]",
    ),
    Form("FLOAT8E4M3FN", (D,), {"axis": 3}, False, "f8E4M3FN scale[k]"),
    Form("FLOAT8E5M2", (), {}, False, "f8E5M2 scale[]"),
]


def model(form: Form, as_node: bool) -> Any:
    data_type = getattr(TensorProto, form.data_type)

    def value(name: str, type: int, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, type, shape)

    inputs = [
        value("q", TensorProto.FLOAT, B, H, M, D),
        value("codes", data_type, B, H, N, D),
        value("scales", TensorProto.FLOAT, *form.shape),
        *([value("zeros", data_type, *form.shape)] if form.zeros else []),
        value("v_codes", TensorProto.INT8, B, H, N, D),
        value("v_scale", TensorProto.FLOAT),
    ]
    zeros = ["zeros"] if form.zeros else []
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scales", *zeros], ["k"], **form.attributes),
        helper.make_node("DequantizeLinear", ["v_codes", "v_scale"], ["v"]),
    ]
    if as_node:
        nodes.append(helper.make_node("Attention", ["q", "k", "v"], ["out"], scale=0.25))
    else:
        nodes += [
            helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["q", "kt"], ["products"]),
            helper.make_node("Mul", ["products", "factor"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
            helper.make_node("MatMul", ["weights", "v"], ["out"]),
        ]
    factor = helper.make_tensor("factor", TensorProto.FLOAT, (), [0.25])
    outputs = [value("out", TensorProto.FLOAT, B, H, M, D)]
    graph = helper.make_graph(nodes, "quantized", inputs, outputs, initializer=[] if as_node else [factor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])


def drawn(form: Form) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    dtype = {
        "INT8": np.int8,
        "UINT8": np.uint8,
        "INT4": ml_dtypes.int4,
        "UINT4": ml_dtypes.uint4,
        "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn,
        "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    }[form.data_type]
    low = 0 if form.data_type.startswith("U") else -8
    arrays = [
        rng.standard_normal((B, H, M, D)).astype(np.float32),
        rng.integers(low, 8, (B, H, N, D)).astype(dtype),
        rng.uniform(0.1, 0.3, form.shape).astype(np.float32),
    ]
    if form.zeros:
        arrays.append(rng.integers(0, 8, form.shape).astype(dtype))
    return [*arrays, rng.integers(-128, 128, (B, H, N, D)).astype(np.int8), np.asarray(0.01, np.float32)]


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_codes_and_numbers(form: Form, as_node: bool):
    module = parse_module(str(fl.from_onnx(model(form, as_node))), make_context())
    arguments = drawn(form)
    (before,) = run_module(module.clone(), arguments)
    FuseAttentionPass().apply(make_context(), module)
    module.verify()
    (op,) = (op for op in module.walk() if isinstance(op, SdpaOp))
    quantization = op.quantization("k")
    assert quantization is not None and op.value_quantization is not None
    layouts = [part + layout_to_str(shared.layout.data) for part, shared in quantization.shared()]
    assert " ".join([quantization.attr.code_name, *layouts]) == form.expected
    (after,) = run_module(module, arguments)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
