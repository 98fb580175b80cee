"""
Every operator that from_onnx lowers, against onnx's reference evaluator.

Locked in: shapes, dtypes and numbers, on odd and broadcasting shapes, negative axes and indices, empty tensors, both
spellings of arguments that were attributes in older opsets; and that no lowering is without a case here.
"""

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flashlower

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")

from flashlower.frontends.onnx.lowerings import LOWERINGS  # noqa: E402

RNG = np.random.default_rng(20)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def f16(*shape):
    return f32(*shape).astype(np.float16)


def positive(*shape):
    return np.abs(f32(*shape)) + np.float32(0.1)


def i64(*values):
    return np.array(values, np.int64)


def ints(low, high, *shape, dtype=np.int64):
    return RNG.integers(low, high, shape).astype(dtype)


def bools(*shape):
    return RNG.integers(0, 2, shape).astype(bool)


class Known(np.ndarray):
    """An input that is an initializer."""


def known(array):
    return np.asarray(array).view(Known)


@dataclass
class Case:
    op: str
    inputs: list[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 23
    outputs: int = 1

    def __str__(self):
        shapes = "-".join("x".join(map(str, x.shape)) or "scalar" for x in self.inputs if x is not None)
        return f"{self.op}{self.opset}-{shapes}-{'-'.join(f'{k}={v}' for k, v in self.attributes.items())}"[:90]


def case(op, *inputs, opset=23, outputs=1, **attributes):
    return Case(op, list(inputs), attributes, opset, outputs)


UNARY = "Abs Asinh Atan Ceil Cos Cosh Elu Erf Exp Floor Neg Relu Round Sigmoid Sign Sin Sinh Softplus Tan Tanh"
UNIT = "Acos Asin Atanh"
BINARY = "Add Div Mul Sub"
COMPARISONS = "Equal Greater GreaterOrEqual Less LessOrEqual"
LOGIC = "And Or Xor"
REDUCTIONS = ["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

MATRIX = f32(3, 5)
TENSOR = f32(2, 3, 4, 5)
WITH_NAN = np.array([[1.5, np.nan, -np.inf], [np.inf, 0.0, -2.0]], np.float32)

CASES = [
    *(case(op, f32(3, 1, 5)) for op in UNARY.split()),
    *(case(op, f32(2, 3).clip(-0.9, 0.9)) for op in UNIT.split()),
    *(case(op, positive(2, 3)) for op in ("Log", "Sqrt", "Reciprocal")),
    case("Acosh", positive(2, 3) + 1),
    *(case(op, f32(3, 1, 5), f32(4, 1)) for op in BINARY.split()),
    *(case(op, ints(-9, 9, 3, 5), ints(1, 5, 5)) for op in BINARY.split()),
    case("Div", i64(-7, 7, -7), i64(2, -2, -2)),
    case("Add", f16(3), f16(2, 1)),
    case("Add", f32(0, 3), f32(3)),
    *(case(op, ints(-2, 3, 3, 4), ints(-2, 3, 4)) for op in COMPARISONS.split()),
    *(case(op, bools(3, 4), bools(4)) for op in LOGIC.split()),
    case("Not", bools(3)),
    *(case(f"Bitwise{op}", ints(0, 99, 3, 4), ints(0, 99, 4)) for op in LOGIC.split()),
    case("BitwiseNot", ints(-9, 9, 4)),
    case("BitShift", ints(0, 99, 4, dtype=np.uint8), ints(0, 5, 4, dtype=np.uint8), direction="LEFT"),
    case("BitShift", ints(0, 99, 4, dtype=np.uint32), ints(0, 5, 4, dtype=np.uint32), direction="RIGHT"),
    case("IsNaN", WITH_NAN),
    case("IsInf", WITH_NAN),
    case("IsInf", WITH_NAN, detect_negative=0),
    case("IsInf", WITH_NAN, detect_negative=0, detect_positive=0),
    *(case(op, f32(3, 1), f32(4), f32(1, 1)) for op in ("Max", "Min", "Sum")),
    case("Mean", f32(3, 4), f32(3, 4), f32(3, 4)),
    case("Max", f32(3)),
    case("Pow", positive(3, 4), f32(4)),
    case("Pow", f32(3, 4), known(np.float32(2))),
    case("Pow", f32(3), known(i64([2]))),
    case("Pow", positive(3, 4), known(np.float32(0.5))),
    case("Pow", ints(1, 5, 3), f32(3).clip(0)),
    case("Pow", f32(3, 4), ints(0, 4, 4, dtype=np.int32)),
    case("Mod", ints(-9, 9, 20), i64(4)),
    case("Mod", ints(-9, 9, 20), i64(-4)),
    case("Mod", f32(5), f32(5), fmod=1),
    case("Where", bools(3, 1), f32(1, 4), f32(2, 1, 1)),
    case("Clip", f32(3, 4), np.float32(-0.5), np.float32(0.5)),
    case("Clip", f32(3, 4), None, np.float32(0.5)),
    case("Clip", f32(3, 4), opset=10, min=-0.5, max=0.25),
    case("LeakyRelu", f32(3, 4), alpha=0.2),
    case("PRelu", f32(3, 4), f32(4)),
    case("HardSigmoid", f32(3, 4), alpha=0.3, beta=0.4),
    case("Softplus", np.array([-100, 0, 100], np.float32)),
    case("Swish", f32(3, 4), opset=24, alpha=1.5),
    case("Gelu", f32(3, 4)),
    case("Gelu", f32(3, 4), approximate="tanh"),
    # Constants and conversions
    case("Constant", value_floats=[1.5, 2.5]),
    case("Constant", value=onnx.numpy_helper.from_array(ints(0, 9, 2, 3, dtype=np.int8))),
    case("Identity", f32(3)),
    case("Dropout", f32(3, 4)),
    case("Cast", f32(3, 4) * 9, to=onnx.TensorProto.INT32),
    case("Cast", f32(3, 4).round(), to=onnx.TensorProto.BOOL),
    case("Cast", bools(5), to=onnx.TensorProto.FLOAT16),
    case("Cast", f32(3, 4), to=onnx.TensorProto.BFLOAT16),
    case("Cast", f32(3, 4) * 999, to=onnx.TensorProto.FLOAT8E4M3FN),
    case("CastLike", ints(-9, 9, 3), f16(1)),
    case("DequantizeLinear", ints(-9, 9, 3, 4, dtype=np.int8), positive(3), ints(-2, 2, 3, dtype=np.int8), axis=0),
    case(
        "DequantizeLinear",
        ints(0, 9, 2, 6, dtype=np.uint8),
        positive(2, 2),
        ints(0, 3, 2, 2, dtype=np.uint8),
        block_size=3,
    ),
    case(
        "DequantizeLinear", ints(-9, 9, 7, 2, dtype=np.int8), positive(3, 2).astype(np.float16), axis=-2, block_size=3
    ),
    case("DequantizeLinear", ints(-8, 8, 2, 4, dtype=ml_dtypes.int4), positive(), axis=0),
    case("DequantizeLinear", f32(3, 4).astype(ml_dtypes.float8_e4m3fn), positive(4), axis=-1),
    case("ConstantOfShape", known(i64(2, 3)), value=onnx.numpy_helper.from_array(i64(7))),
    case("ConstantOfShape", known(i64(0, 3))),
    case("EyeLike", f32(3, 5), k=1),
    case("Range", *map(known, (np.int64(2), np.int64(11), np.int64(3)))),
    case("Range", *map(known, (np.float32(1), np.float32(-1), np.float32(-0.5)))),
    case("Range", *map(known, (np.int64(3), np.int64(3), np.int64(1)))),
    # Shapes
    case("Shape", TENSOR),
    case("Shape", TENSOR, start=-3, end=-1),
    case("Size", TENSOR),
    case("Reshape", TENSOR, known(i64(0, -1, 10))),
    case("Reshape", f32(0, 3), known(i64(3, 0)), allowzero=1),
    case("Flatten", TENSOR, axis=-1),
    case("Flatten", TENSOR, axis=0),
    case("Transpose", TENSOR, perm=[2, 0, 3, 1]),
    case("Transpose", TENSOR),
    case("Unsqueeze", MATRIX, known(i64(-1, 0))),
    case("Unsqueeze", MATRIX, opset=11, axes=[1]),
    case("Squeeze", f32(1, 3, 1), known(i64(-1))),
    case("Squeeze", f32(1, 3, 1)),
    case("Squeeze", f32(1, 3, 1), opset=11, axes=[0]),
    case("Expand", f32(3, 1), known(i64(2, 1, 5))),
    case("Expand", known(np.float32(2)), known(i64(2, 3))),
    case("Tile", f32(2, 3), known(i64(3, 2))),
    case("Concat", f32(2, 3), f32(2, 1), f32(2, 0), axis=-1),
    case("Split", f32(2, 7), axis=1, num_outputs=3, outputs=3),
    case("Split", f32(7, 2), known(i64(3, 0, 4)), outputs=3),
    case("Split", f32(6), opset=11, split=[2, 4], outputs=2),
    case("Slice", TENSOR, *map(known, (i64(-2, 0), i64(99, -1), i64(-1, 1), i64(1, 2)))),
    case("Slice", TENSOR, *map(known, (i64(-1, 9), i64(-99, 0), i64(2, 3), i64(-2, -1)))),
    case("Slice", f32(5), *map(known, (i64(3), i64(1)))),
    case("Slice", TENSOR, opset=9, starts=[1], ends=[3], axes=[2]),
    case("Pad", f32(3, 4), known(i64(1, 0, 0, 2)), known(np.float32(7))),
    case("Pad", f32(3, 4), known(i64(1, 2)), None, known(i64(-1))),
    *(case("Pad", f32(3, 4), known(i64(2, 1, 1, 3)), mode=mode) for mode in ("edge", "reflect", "wrap")),
    case("Trilu", TENSOR, known(np.int64(1)), upper=0),
    case("Trilu", f32(4, 3)),
    case("Trilu", bools(3, 3), known(np.int64(-1))),
    case("DepthToSpace", f32(2, 8, 3, 2), blocksize=2),
    case("DepthToSpace", f32(2, 8, 3, 2), blocksize=2, mode="CRD"),
    case("SpaceToDepth", f32(2, 3, 4, 6), blocksize=2),
    # Products
    *(
        case("MatMul", f32(*a), f32(*b))
        for a, b in [
            ((2, 3), (3, 4)),
            ((2, 5, 3), (3, 4)),
            ((2, 1, 5, 3), (7, 3, 4)),
            ((3,), (3,)),
            ((3,), (2, 3, 4)),
            ((2, 4, 3), (3,)),
            ((0, 3), (3, 4)),
            ((2, 0), (0, 4)),
        ]
    ),
    case("MatMulInteger", ints(0, 9, 2, 3, dtype=np.uint8), ints(0, 9, 3, 4, dtype=np.uint8), np.uint8(3)),
    case("Gemm", f32(3, 2), f32(4, 3), f32(4), transA=1, transB=1, alpha=0.5, beta=2.0),
    case("Gemm", f32(3, 2), f32(2, 4)),
    *(
        case("Einsum", *(f32(*shape) for shape in shapes), equation=equation)
        for equation, shapes in [
            ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
            ("bqhd,bkhd->bhqk", [(2, 4, 3, 5), (2, 6, 3, 5)]),
            ("...ij,jk", [(2, 3, 4), (4, 5)]),
            ("ij->ji", [(2, 3)]),
            ("ij,kj,k->i", [(2, 3), (4, 3), (4,)]),
            ("ij->", [(2, 3)]),
        ]
    ),
    case("Conv", f32(2, 4, 7, 5), f32(6, 2, 3, 2), f32(6), group=2, pads=[1, 0, 1, 1], strides=[2, 1]),
    case("Conv", f32(1, 3, 9), f32(4, 3, 2), dilations=[2], auto_pad="SAME_UPPER"),
    # Reductions
    *(case(f"Reduce{op}", TENSOR, known(i64(-1, 1))) for op in REDUCTIONS),
    *(case(f"Reduce{op}", TENSOR, opset=11, axes=[2], keepdims=0) for op in REDUCTIONS),
    case("ReduceLogSum", positive(2, 3), known(i64(1))),
    case("ReduceSum", TENSOR),
    case("ReduceSum", TENSOR, noop_with_empty_axes=1),
    case("ReduceMean", f16(4, 300), known(i64(1))),
    case("ReduceMax", bools(3, 4), known(i64(0))),
    case("ReduceMax", ints(-9, 9, 3, 4), known(i64(0))),
    *(
        case("CumSum", f32(3, 5), known(np.int64(-1)), exclusive=exclusive, reverse=reverse)
        for exclusive in (0, 1)
        for reverse in (0, 1)
    ),
    case("ArgMax", ints(0, 3, 4, 6), axis=-1),
    case("ArgMax", ints(0, 3, 4, 6), axis=0, keepdims=0, select_last_index=1),
    case("ArgMin", f32(4, 6)),
    case("TopK", f32(3, 6), known(i64(2)), outputs=2),
    case("TopK", f32(6, 3), known(i64(4)), axis=0, largest=0, outputs=2),
    # Norms
    case("Softmax", TENSOR),
    case("Softmax", TENSOR, axis=1),
    case("LogSoftmax", TENSOR, axis=-2),
    case("LayerNormalization", f32(2, 3, 8), f32(8), f32(8), epsilon=1e-3, outputs=3),
    case("LayerNormalization", f32(2, 3, 8), f32(3, 8), axis=1),
    case("RMSNormalization", f32(2, 3, 8), f32(8), epsilon=1e-3),
    case("BatchNormalization", f32(2, 3, 4), f32(3), f32(3), f32(3), positive(3)),
    case("InstanceNormalization", f32(2, 3, 4, 5), f32(3), f32(3)),
    case("GroupNormalization", f32(2, 6, 4), f32(6), f32(6), num_groups=3),
    case("LpNormalization", f32(2, 3)),
    case("GlobalAveragePool", f32(2, 3, 4, 5)),
    case("GlobalMaxPool", f32(2, 3, 4, 5)),
    case("RotaryEmbedding", f32(2, 3, 4, 8), f32(9, 4), f32(9, 4), ints(0, 9, 2, 4)),
    case("RotaryEmbedding", f32(2, 4, 24), f32(2, 4, 4), f32(2, 4, 4), num_heads=3, interleaved=1),
    case("RotaryEmbedding", f32(2, 3, 4, 8), f32(2, 4, 2), f32(2, 4, 2), rotary_embedding_dim=4),
    # Indexing
    case("Gather", f32(3, 4), i64([0, -1], [2, 1])),
    case("Gather", f32(3, 4, 5), known(i64(-1)), axis=1),
    case("Gather", f32(3, 4, 5), known(np.int64(2)), axis=-2),
    case("Gather", f32(3, 4), ints(-3, 3, 0, 2)),
    case("GatherElements", f32(3, 4), ints(-4, 4, 3, 2), axis=1),
    case("GatherND", f32(2, 3, 4), i64([[0, 1], [1, -1]])),
    case("GatherND", f32(2, 3, 4), i64([1], [-2]), batch_dims=1),
    case("OneHot", ints(0, 4, 3), known(np.int64(4)), f32(2), axis=0),
    case("ScatterElements", f32(3, 4), i64([0, -1]), f32(1, 2), axis=1),
    case("ScatterElements", f32(3, 4), i64([1, 1]), f32(1, 2), axis=1, reduction="add"),
    case("ScatterND", f32(4, 3), i64([[2], [0]]).reshape(2, 1), f32(2, 3)),
    case("ScatterND", f32(4, 3), i64([2, 1], [2, 1]), f32(2), reduction="mul"),
    case("TensorScatter", f32(2, 3, 6, 4), f32(2, 3, 2, 4), i64(3, 0), opset=24),
    case("TensorScatter", f32(2, 6, 4), f32(2, 3, 4), i64(5, 0), opset=24, mode="circular"),
]

ELSEWHERE = {
    ("", "Attention"): "test_from_onnx_attention.py, tests/conformance",
    ("", "If"): "test_from_onnx.py",
    ("", "Scatter"): "the same function as ScatterElements, of an opset that the reference lacks",
    ("", "SimplifiedLayerNormalization"): "below",
    ("com.microsoft", "SimplifiedLayerNormalization"): "below",
}


def value_info(name, array):
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def make_model(c, domain=""):
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(c.inputs)]
    named = [(name, x) for name, x in zip(names, c.inputs) if x is not None]
    outputs = [f"y{i}" for i in range(c.outputs)]
    node = onnx.helper.make_node(c.op, names, outputs, name="node", domain=domain, **c.attributes)
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [value_info(name, x) for name, x in named if not isinstance(x, Known)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(x), name) for name, x in named if isinstance(x, Known)],
    )
    opsets = [onnx.helper.make_opsetid("", c.opset), onnx.helper.make_opsetid("com.microsoft", 1)]
    feeds = {name: x for name, x in named if not isinstance(x, Known)}
    return onnx.helper.make_model(graph, opset_imports=opsets), feeds


def run(model, feeds):
    results = flashlower.interpret(flashlower.from_onnx(model), *feeds.values())
    return results if isinstance(results, tuple) else (results,)


def check(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
    else:
        rounding = float(ml_dtypes.finfo(found.dtype).eps)
        a, b = found.astype(np.float64), expected.astype(np.float64)
        np.testing.assert_allclose(a, b, rtol=16 * rounding, atol=32 * rounding)


@pytest.mark.parametrize("c", CASES, ids=str)
def test_like_the_reference(c):
    model, feeds = make_model(c)
    expected = reference.ReferenceEvaluator(model).run(None, feeds)
    for found, wanted in zip(run(model, feeds), expected, strict=True):
        check(found, np.asarray(wanted))


# Where the reference evaluator does not do what the operator's text says.


def test_mean_broadcasts():
    c = case("Mean", f32(3, 1), f32(4))
    check(run(*make_model(c))[0], (c.inputs[0] + c.inputs[1]) / 2)


def test_negative_pads_cut_off():
    c = case("Pad", f32(3, 4), known(i64(-1, 0, 0, 2)))
    check(run(*make_model(c))[0], np.pad(c.inputs[0][1:], ((0, 0), (0, 2))))


def test_softmax_before_opset_13_is_over_all_dimensions_from_axis_on():
    c = case("Softmax", TENSOR, opset=11, axis=2)
    weights = np.exp(TENSOR - TENSOR.max((2, 3), keepdims=True))
    check(run(*make_model(c))[0], weights / weights.sum((2, 3), keepdims=True))


def test_l1_norm_is_of_absolute_values():
    c = case("LpNormalization", f32(2, 3), axis=1, p=1)
    check(run(*make_model(c))[0], c.inputs[0] / np.abs(c.inputs[0]).sum(1, keepdims=True))


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_simplified_layer_normalization(domain):
    """ONNX Runtime's own operator, which exporters write below opset 23."""
    x, scale = f32(2, 3, 8), f32(8)
    c = case("SimplifiedLayerNormalization", x, scale, epsilon=1e-3)
    expected = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + np.float32(1e-3)) * scale
    check(run(*make_model(c, domain))[0], expected)


def test_every_lowering_is_tested():
    assert {("", c.op) for c in CASES} | ELSEWHERE.keys() == LOWERINGS.keys()
