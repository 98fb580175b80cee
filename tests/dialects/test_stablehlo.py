"""Ops that passes build have the types that StableHLO gives them, and the corpus comes out as it went in.

Passes build stablehlo ops without stating result types, so a constructor that infers a wrong one is a wrong rewrite.
"""

import io
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType, UnregisteredOp, bf16, f32, i1, i32, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.printer import Printer
from xdsl.traits import ConstantLike, Pure, is_side_effect_free
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.test_value import create_ssa_value

from flashlower.dialects import stablehlo
from flashlower.dialects.parsing import parse_module
from flashlower.dialects.stablehlo import ComparisonDirection, DotDimensionNumbersAttr, GatherDimensionNumbersAttr

CORPUS = sorted((pathlib.Path(__file__).parents[1] / "corpus").glob("*/*.mlir"))


def value(type: Attribute) -> SSAValue:
    return create_ssa_value(type)


X = TensorType(f32, (2, 3))
SCALAR = TensorType(f32, ())
INDEX = TensorType(i64, ())

BUILT: list[tuple[Callable[[], Operation], Attribute]] = [
    (lambda: stablehlo.ConstantOp(1.5, X), X),
    (lambda: stablehlo.ConstantOp(np.zeros((4, 1), np.int32)), TensorType(i32, (4, 1))),
    (lambda: stablehlo.AddOp(value(X), value(X)), X),
    (lambda: stablehlo.ExpOp(value(X)), X),
    (lambda: stablehlo.IsFiniteOp(value(X)), TensorType(i1, (2, 3))),
    (lambda: stablehlo.ConvertOp(value(X), bf16), TensorType(bf16, (2, 3))),
    (lambda: stablehlo.BitcastConvertOp(value(X), TensorType(i32, (2, 3))), TensorType(i32, (2, 3))),
    (lambda: stablehlo.CompareOp(value(X), value(X), ComparisonDirection.LT), TensorType(i1, (2, 3))),
    (lambda: stablehlo.SelectOp(value(TensorType(i1, ())), value(X), value(X)), X),
    (lambda: stablehlo.ClampOp(value(SCALAR), value(X), value(SCALAR)), X),
    (lambda: stablehlo.IotaOp(1, TensorType(i32, (2, 3))), TensorType(i32, (2, 3))),
    (lambda: stablehlo.GetDimensionSizeOp(value(X), 1), TensorType(i32, ())),
    (lambda: stablehlo.BroadcastInDimOp(value(X), (0, 2), (2, 5, 3)), TensorType(f32, (2, 5, 3))),
    (lambda: stablehlo.ReshapeOp(value(X), (3, 2)), TensorType(f32, (3, 2))),
    (lambda: stablehlo.TransposeOp(value(TensorType(f32, (2, 3, 4))), (2, 0, 1)), TensorType(f32, (4, 2, 3))),
    (lambda: stablehlo.ReverseOp(value(X), (1,)), X),
    (lambda: stablehlo.ConcatenateOp([value(X), value(TensorType(f32, (2, 1)))], 1), TensorType(f32, (2, 4))),
    (lambda: stablehlo.PadOp(value(X), value(SCALAR), (1, 0), (0, -1), (2, 1)), TensorType(f32, (5, 4))),
    (lambda: stablehlo.SliceOp(value(X), (0, 1), (2, 3), (2, 1)), TensorType(f32, (1, 2))),
    (lambda: stablehlo.DynamicSliceOp(value(X), [value(INDEX)] * 2, (1, 3)), TensorType(f32, (1, 3))),
    (lambda: stablehlo.DynamicUpdateSliceOp(value(X), value(TensorType(f32, (1, 1))), [value(INDEX)] * 2), X),
    (
        lambda: stablehlo.DotGeneralOp(
            value(TensorType(bf16, (5, 2, 3))),
            value(TensorType(bf16, (3, 4, 5))),
            DotDimensionNumbersAttr.get([0], [2], [2], [0]),
            f32,
        ),
        TensorType(f32, (5, 2, 4)),
    ),
    (
        lambda: stablehlo.GatherOp(
            value(X),
            value(TensorType(i32, (7, 1))),
            GatherDimensionNumbersAttr.get(
                offset_dims=[1], collapsed_slice_dims=[0], start_index_map=[0], index_vector_dim=1
            ),
            (1, 3),
        ),
        TensorType(f32, (7, 3)),
    ),
    (lambda: stablehlo.ReduceOp(value(X), value(SCALAR), (0,), "maximum"), TensorType(f32, (3,))),
]


@pytest.mark.parametrize("build, expected", BUILT)
def test_constructors_infer_types(build: Callable[[], Operation], expected: Attribute):
    op = build()
    op.verify()
    assert op.result_types == (expected,)


@pytest.mark.parametrize("kind", ["add", "multiply", "maximum", "minimum", "and", "or"])
def test_reduce_knows_its_kind(kind: stablehlo.ReductionKind):
    element_type = i1 if kind in ("and", "or") else f32
    source, init = value(TensorType(element_type, (2, 3))), value(TensorType(element_type, ()))
    reduce = stablehlo.ReduceOp(source, init, (1,), kind)
    assert reduce.kind == kind
    # The order of the arguments does not matter, but both must be used.
    combine = reduce.body.block.first_op
    assert combine is not None
    first, second = reduce.body.block.args
    combine.operands = [second, first]
    assert reduce.kind == kind
    combine.operands = [first, first]
    assert reduce.kind is None


def test_reduce_with_another_body_has_no_kind():
    for text in ('"stablehlo.subtract"(%a, %b)', '"stablehlo.atan2"(%a, %b)'):
        module = parse_module(
            f"""
            %x, %s = "test.op"() : () -> (tensor<2x3xf32>, tensor<f32>)
            %r = "stablehlo.reduce"(%x, %s) <{{dimensions = array<i64: 1>}}> ({{
            ^bb0(%a: tensor<f32>, %b: tensor<f32>):
              %c = {text} : (tensor<f32>, tensor<f32>) -> tensor<f32>
              "stablehlo.return"(%c) : (tensor<f32>) -> ()
            }}) : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
            """
        )
        (reduce,) = [op for op in module.walk() if isinstance(op, stablehlo.ReduceOp)]
        assert reduce.kind is None


def test_effects_are_known():
    constant = stablehlo.ConstantOp(1.0, X)
    assert constant.has_trait(ConstantLike)
    assert ConstantLike.get_constant_value(constant.output) == constant.value
    assert stablehlo.DotGeneralOp.has_trait(Pure)
    # A reduction is as pure as its body; a custom call may do anything.
    assert is_side_effect_free(stablehlo.ReduceOp(value(X), value(SCALAR), (0,), "add"))
    assert not is_side_effect_free(
        stablehlo.CustomCallOp.create(result_types=[X], properties={}),
    )


def test_types_must_agree():
    add = stablehlo.AddOp(value(X), value(TensorType(f32, (2, 4))))
    with pytest.raises(VerifyException, match="rhs has type tensor<2x4xf32>, but expected tensor<2x3xf32>"):
        add.verify()


def test_dynamic_dimensions_fit_any_size():
    stablehlo.AddOp(value(TensorType(f32, (DYNAMIC_INDEX, 3))), value(X)).verify()
    stablehlo.TransposeOp(value(TensorType(f32, (DYNAMIC_INDEX, 3))), (1, 0)).verify()
    stablehlo.ConcatenateOp([value(TensorType(f32, (DYNAMIC_INDEX, 3))), value(X)], 0).verify()


def generic(module: Operation) -> str:
    stream = io.StringIO()
    Printer(stream, print_generic_format=True).print_op(module)
    return stream.getvalue()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_corpus_round_trips(path: pathlib.Path):
    module = parse_module(path.read_text(), name=path.name)
    assert not any(isinstance(op, UnregisteredOp) for op in module.walk())
    again = parse_module(generic(module))
    assert again.is_structurally_equivalent(module)
    # xDSL's custom form of func drops empty dictionaries of argument attributes; after that, nothing changes.
    once = str(parse_module(str(module)))
    assert str(parse_module(once)) == once


def test_corpus_is_there():
    assert len(CORPUS) == 29
