"""
The `tl` dialect and its builder from Python.

What text cannot show: the builder infers the types that the verifiers accept, says in one line what does not
fit, and the effects of the ops let xDSL's passes drop what is dead and merge what is equal, but keep names.
"""

from __future__ import annotations

import math

import pytest
from xdsl.dialects.builtin import ModuleOp, TensorType, bf16, f16, f32, f64, i1, i8, i32, i64
from xdsl.transforms.common_subexpression_elimination import cse
from xdsl.transforms.dead_code_elimination import dce
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import tl
from flashlower.dialects.tl.constants import scalar_attr
from flashlower.dialects.tl.types import broadcast_shapes
from flashlower.lowering.triton.builder import KernelBuilder


def builder(**arguments) -> KernelBuilder:
    return KernelBuilder("kernel", arguments)


@pytest.mark.parametrize(
    ("shapes", "result"),
    [
        (((64,), (16, 1)), (16, 64)),
        (((), (16,)), (16,)),
        (((1,), (1,)), (1,)),
        (((2, 1, 8), (4, 1), ()), (2, 4, 8)),
        ((), ()),
    ],
)
def test_shapes_broadcast_as_in_numpy(shapes, result):
    assert broadcast_shapes(*shapes) == result


def test_shapes_that_do_not_broadcast():
    with pytest.raises(VerifyException, match=r"\(16, 32\) and \(16,\) do not broadcast"):
        broadcast_shapes((16, 32), (16,))


@pytest.mark.parametrize(
    ("value", "element"),
    [(128, i8), (-129, i8), (0.5, i32), (2, i1), (math.inf, i32), (math.nan, i64), (1e300, f32), (1, tl.PtrType(f32))],
)
def test_numbers_that_a_type_does_not_have(value, element):
    with pytest.raises(VerifyException):
        scalar_attr(value, element)


def test_results_have_triton_types():
    b = builder(p=tl.PtrType(bf16), n=i32)
    rows, cols = b.rows(b.arange(0, 16)), b.columns(b.arange(0, 32))
    ptrs = b.add(b.arg("p"), b.add(b.mul(rows, b.arg("n")), cols))
    assert ptrs.type == TensorType(tl.PtrType(bf16), [16, 32])
    x = b.load(ptrs, mask=b.lt(cols, b.arg("n")), other=0.0)
    assert x.type == TensorType(bf16, [16, 32])
    assert b.max(x, 1).type == TensorType(f32, [16])
    assert b.sum(b.cast(x, f32), 0).type == TensorType(f32, [32])
    assert b.dot(x, b.trans(x)).type == TensorType(f32, [16, 16])
    integers = b.cast(x, i8)
    assert b.dot(integers, b.trans(integers)).type == TensorType(i32, [16, 16])
    assert b.lt(x, 0.0).type == TensorType(i1, [16, 32])
    assert b.where(b.lt(b.arg("n"), 3), x, 0.0).type == x.type
    assert b.full([4], b.arg("n")).type == TensorType(i32, [4])
    assert b.max(b.arange(0, 16), 0).type == i32
    b.finish()


def test_numbers_take_the_type_of_their_partner():
    b = builder(p=tl.PtrType(f16), n=i64)
    x = b.load(b.arg("p"))
    for value in (b.add(x, 1), b.add(1, x), b.where(b.gt(b.arg("n"), 2**40), x, -math.inf)):
        assert value.type == f16
    assert b.add(b.arg("p"), 3).type == tl.PtrType(f16)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b.add(b.arg("x"), b.arg("n")), "needs operands of one element type, got f32 and i32: cast one"),
        (lambda b: b.add(b.arange(0, 16), b.arange(0, 32)), r"\(16,\) and \(32,\) do not broadcast"),
        (lambda b: b.add(b.arg("p"), b.arg("x")), "on a pointer needs an integer offset, got f32"),
        (lambda b: b.add(1, 2), "at least one is a value of the kernel"),
        (lambda b: b.exp(b.arg("h")), "tl.exp does not compute on f16: cast first"),
        (lambda b: b.truediv(b.arg("h"), 2.0), "tl.truediv does not compute on f16"),
        (lambda b: b.mod(b.arg("x"), 2.0), "tl.mod does not compute on f32"),
        (lambda b: b.add(b.arg("n"), 0.5), "0.5 is not a value of type i32"),
        (lambda b: b.constant(0.5), "which float type"),
        (lambda b: b.where(b.arg("n"), 1, 2), "the condition of tl.where is i1, got i32"),
        (lambda b: b.expand_dims(b.arg("n"), 0), "i32 has no place for a new axis 0"),
        (lambda b: b.max(b.arange(0, 4), 1), "has no axis 1"),
        (lambda b: b.sum(b.full([4], 1.0, f16), 0), "does not take f16: cast to i32 or f32 first"),
        (lambda b: b.dot(b.zeros([16, 32], f16), b.zeros([16, 32], f16)), "do not multiply"),
        (lambda b: b.dot(b.zeros([16, 16], f16), b.zeros([16, 16], f32)), "one element type, got f16 and f32"),
        (lambda b: b.dot(b.zeros([16, 16], f64), b.zeros([16, 16], f64)), "does not multiply f64"),
        (
            lambda b: b.dot(b.zeros([16, 16], f16), b.zeros([16, 16], f16), b.zeros([16, 16], f16)),
            "the accumulator of tl.dot here is tensor<16x16xf32>, got tensor<16x16xf16>",
        ),
        (
            lambda b: b.dot(b.zeros([16, 16], f32), b.zeros([16, 16], f32), input_precision="best"),
            "input_precision is one of ieee, tf32, tf32x3",
        ),
        (lambda b: b.load(b.arg("n")), "goes through a pointer or a block of pointers, got i32"),
        (lambda b: b.store(b.arg("p"), b.arg("x")), "needs f16, got f32: cast it"),
        (lambda b: b.store(b.arg("n"), 1), "goes through a pointer"),
        (lambda b: b.store(b.arg("p"), b.arg("h"), mask=b.arange(0, 4)), "a mask is i1, got tensor<4xi32>"),
        (lambda b: b.arange(4, 4), "needs start < end"),
        (lambda b: b.arange(0, b.arg("n")), "a size is the result of a tl.constant or tl.constexpr"),
        (lambda b: b.cast(b.arg("p"), f32), "is between numbers"),
        (lambda b: b.program_id(3, name="pid") and b.finish(), "axes 0, 1 and 2, got 3"),
        (lambda b: b.zeros([24], f32) and b.finish(), "powers of two, got tensor<24xf32>"),
        (lambda b: b.zeros([2048, 1024], f32) and b.finish(), "at most 1048576 elements"),
        (lambda b: b.reshape(b.arange(0, 16), [4, 8]) and b.finish(), "keeps the number of elements"),
        (lambda b: b.broadcast_to(b.arange(0, 16), [8, 32]) and b.finish(), "does not broadcast to the shape"),
        (lambda b: b.arg("missing"), "kernel kernel has no argument missing"),
        (lambda b: b.yield_(x=1), "yield_ is called inside a loop"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(build, message):
    b = builder(p=tl.PtrType(f16), n=i32, x=f32, h=f16)
    with pytest.raises(TypeError, match=message) as error:
        build(b)
    assert "\n" not in str(error.value)


def test_loops_say_what_they_carry():
    b = builder(n=i32)
    with pytest.raises(TypeError, match="yield_ gives y, but x is carried"), b.range(0, 4, inits={"x": b.arg("n")}):
        b.yield_(y=1)
    b = builder(n=i32)
    with (
        pytest.raises(TypeError, match="the loop carries x: end its body with yield_"),
        b.range(0, 4, inits={"x": b.arg("n")}),
    ):
        pass
    b = builder(n=i32)
    with pytest.raises(TypeError, match=r"the step of tl\.range is positive, got 0"), b.range(0, 4, 0):
        pass
    with pytest.raises(TypeError, match="exist after its `with` block"), b.range(0, 4) as loop:
        _ = loop.results
    with b.range(0, 4, inits={"x": b.arg("n")}) as loop:
        with pytest.raises(AttributeError, match="the loop carries x, not z"):
            _ = loop.args.z
        with pytest.raises(TypeError, match=r"outside of all loops"):
            b.finish()
        b.yield_(x=1)


def test_branches_agree():
    b = builder(n=i32)
    small = b.lt(b.arg("n"), 3)
    with pytest.raises(TypeError, match="needs the other branch"):
        b.if_(small, lambda: {"x": b.arg("n")})
    with pytest.raises(TypeError, match="the branches give x and y"):
        b.if_(small, lambda: {"x": b.arg("n")}, lambda: {"y": b.arg("n")})
    with pytest.raises(TypeError, match=r"gives \(i1\), but \(i32\) is carried"):
        b.if_(small, lambda: {"x": b.arg("n")}, lambda: {"x": small})


def test_constexprs_stand_first_and_keep_their_names():
    """Two names for one number are not merged; a name that nobody uses goes."""
    b = builder(p=tl.PtrType(i32))
    pid = b.program_id(0)
    m, n = b.constexpr("BLOCK_M", 64), b.constexpr("BLOCK_N", 64)
    b.constexpr("UNUSED", 64)
    same = [b.add(b.mul(pid, m), b.mul(pid, n)) for _ in range(2)]
    b.store(b.arg("p"), b.sub(*same))
    kernel = b.finish()
    module = ModuleOp([kernel])
    assert [op.name for op in kernel.body.block.ops][:4] == ["tl.constexpr"] * 3 + ["tl.program_id"]
    cse(module)
    dce(module)
    names = [op.name for op in kernel.body.block.ops]
    assert names.count("tl.constexpr") == 2
    assert names.count("tl.add") == 1 and names.count("tl.mul") == 2


def test_loads_are_dead_or_equal_only_where_that_is_so():
    b = builder(p=tl.PtrType(i32))
    first, second = b.load(b.arg("p")), b.load(b.arg("p"))
    b.store(b.arg("p"), b.add(first, second))
    third = b.load(b.arg("p"))
    b.store(b.add(b.arg("p"), 1), b.add(third, 1))
    b.load(b.add(b.arg("p"), 2))
    kernel = b.finish()
    module = ModuleOp([kernel])
    cse(module)
    dce(module)
    names = [op.name for op in kernel.body.block.ops]
    # The first two are one; the third reads what was stored; the last is dead.
    assert names.count("tl.load") == 2 and names.count("tl.store") == 2


def test_loops_without_effects_are_dead():
    b = builder(p=tl.PtrType(i32))
    with b.range(0, 4, inits={"x": b.load(b.arg("p"))}) as loop:
        b.yield_(x=b.add(loop.args.x, 1))
    kernel = b.finish()
    dce(ModuleOp([kernel]))
    assert [op.name for op in kernel.body.block.ops] == ["tl.return"]
