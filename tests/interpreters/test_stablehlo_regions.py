"""StableHLO's reductions, windows, sorts, loops and branches.

Each expected value is written from the op's definition in the StableHLO specification, an element at a time where the
implementation is vectorised; inputs are random.
"""
# MLIR does not wrap.
# ruff: noqa: E501

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import body, integers, normal, run, tensor
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module


# bf16 sums are rounded once: 256 + 0.5 + 0.5 is 257 in f32, but adding in bf16 would lose each half.
def test_bfloat16_reduction_is_rounded_once():
    x = np.array([256, 0.5, 0.5, 1], ml_dtypes.bfloat16)
    zero = np.zeros((), ml_dtypes.bfloat16)
    (total,) = run("reduce", [x, zero], "tensor<bf16>", "<{dimensions = array<i64: 0>}>", body("add", "tensor<bf16>"))
    assert total == 258


# A body in f32 of a bf16 input: the result is f32, and was never rounded to bf16.
def test_reduction_in_a_wider_type():
    x = np.array([256, 1, 1, 1], ml_dtypes.bfloat16)
    zero = np.zeros((), ml_dtypes.bfloat16)
    (total,) = run("reduce", [x, zero], "tensor<f32>", "<{dimensions = array<i64: 0>}>", body("add", "tensor<f32>"))
    assert total == 259


@pytest.mark.parametrize("dimensions", [(0,), (2,), (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize(
    "op, init, function",
    [("add", 0, sum), ("maximum", -np.inf, max), ("minimum", np.inf, min), ("multiply", 1, np.prod)],
)
def test_reduce(op, init, function, dimensions):
    x = normal(3, 4, 5)
    kept = [d for d in range(3) if d not in dimensions]
    expected = np.zeros([x.shape[d] for d in kept], np.float32)
    for index in np.ndindex(*expected.shape):
        where: list[object] = [slice(None)] * 3
        for d, k in zip(kept, index, strict=True):
            where[d] = k
        expected[index] = function(np.ravel(x[tuple(where)]).tolist())
    (result,) = run(
        "reduce",
        [x, np.array(init, np.float32)],
        tensor(expected),
        f"<{{dimensions = array<i64{': ' if dimensions else ''}{', '.join(map(str, dimensions))}>}}>",
        body(op, "tensor<f32>"),
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_reduce_of_nothing_is_the_initial_value():
    x, init = np.zeros((3, 0), np.float32), np.array(-np.inf, np.float32)
    (result,) = run(
        "reduce", [x, init], "tensor<3xf32>", "<{dimensions = array<i64: 1>}>", body("maximum", "tensor<f32>")
    )
    assert result.tolist() == [-np.inf] * 3


# A body of several ops on several tensors: the largest element and where it is first found.
@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_reduce_with_any_body(size):
    x = integers(0, 4, 3, size).astype(np.float32)
    place = np.broadcast_to(np.arange(size, dtype=np.int32), x.shape).copy()
    region = """({
    ^bb0(%a: tensor<f32>, %i: tensor<i32>, %b: tensor<f32>, %j: tensor<i32>):
      %more = "stablehlo.compare"(%a, %b) <{comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %same = "stablehlo.compare"(%a, %b) <{comparison_direction = #stablehlo<comparison_direction EQ>}> : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %first = "stablehlo.minimum"(%i, %j) : (tensor<i32>, tensor<i32>) -> tensor<i32>
      %other = "stablehlo.select"(%more, %i, %j) : (tensor<i1>, tensor<i32>, tensor<i32>) -> tensor<i32>
      %k = "stablehlo.select"(%same, %first, %other) : (tensor<i1>, tensor<i32>, tensor<i32>) -> tensor<i32>
      %c = "stablehlo.maximum"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%c, %k) : (tensor<f32>, tensor<i32>) -> ()
    })"""
    inits = [np.array(-np.inf, np.float32), np.array(0, np.int32)]
    largest, where = run(
        "reduce", [x, place, *inits], "tensor<3xf32>, tensor<3xi32>", "<{dimensions = array<i64: 1>}>", region
    )
    np.testing.assert_array_equal(largest, x.max(1))
    np.testing.assert_array_equal(where, x.argmax(1))


@pytest.mark.parametrize(
    "shape, size, stride, base, window, padding",
    [
        ((3, 9), (1, 9), (1, 1), (1, 1), (1, 1), ((0, 0), (8, 0))),
        ((6, 7), (2, 3), (2, 1), (2, 1), (1, 2), ((1, 0), (2, 1))),
        ((6, 7), (3, 2), (1, 2), (1, 3), (2, 1), ((-1, 2), (0, -2))),
        ((2, 3), (4, 1), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    ],
)
def test_reduce_window(shape, size, stride, base, window, padding):
    x = normal(*shape)
    spread = [(n - 1) * b + 1 for n, b in zip(shape, base, strict=True)]
    reach = [(k - 1) * w + 1 for k, w in zip(size, window, strict=True)]
    counts = [
        max(0, (n + low + high - r) // s + 1)
        for n, (low, high), r, s in zip(spread, padding, reach, stride, strict=True)
    ]
    expected = np.zeros(counts, np.float32)
    for index in np.ndindex(*counts):
        for offset in np.ndindex(*size):
            place = [
                i * s + o * w - low for i, s, o, w, (low, _) in zip(index, stride, offset, window, padding, strict=True)
            ]
            inside = all(0 <= p < n and p % b == 0 for p, n, b in zip(place, spread, base, strict=True))
            # Elements that negative padding has cut off are not read.
            if inside and all(p < n + high for p, n, (_, high) in zip(place, spread, padding, strict=True)):
                expected[index] += x[tuple(p // b for p, b in zip(place, base, strict=True))]
    (result,) = run(
        "reduce_window",
        [x, np.array(0, np.float32)],
        tensor(expected),
        f"<{{window_dimensions = array<i64: {size[0]}, {size[1]}>, window_strides = array<i64: {stride[0]}, {stride[1]}>, "
        f"base_dilations = array<i64: {base[0]}, {base[1]}>, window_dilations = array<i64: {window[0]}, {window[1]}>, "
        f"padding = dense<{[list(p) for p in padding]}> : tensor<2x2xi64>}}>",
        body("add", "tensor<f32>"),
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_sort_is_stable_and_takes_others_along():
    keys, others = integers(0, 4, 5, 9), np.arange(45, dtype=np.int32).reshape(5, 9)
    region = """({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
      %r = "stablehlo.compare"(%a, %b) <{comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
      "stablehlo.return"(%r) : (tensor<i1>) -> ()
    })"""
    types = f"{tensor(keys)}, {tensor(others)}"
    for axis in (0, 1):
        got = run("sort", [keys, others], types, f"<{{dimension = {axis} : i64, is_stable = true}}>", region)
        order = np.argsort(-keys, axis=axis, kind="stable")
        np.testing.assert_array_equal(got[0], np.take_along_axis(keys, order, axis))
        np.testing.assert_array_equal(got[1], np.take_along_axis(others, order, axis))


def test_control_flow():
    module = parse_module("""
    func.func @main(%n: tensor<i32>, %x: tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
      %zero = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
      %one = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
      %i, %loop = "stablehlo.while"(%zero, %x) ({
      ^bb0(%j: tensor<i32>, %v: tensor<2xf32>):
        %go = "stablehlo.compare"(%j, %n) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%go) : (tensor<i1>) -> ()
      }, {
      ^bb0(%j: tensor<i32>, %v: tensor<2xf32>):
        %k = "stablehlo.add"(%j, %one) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        %w = func.call @double(%v) : (tensor<2xf32>) -> tensor<2xf32>
        "stablehlo.return"(%k, %w) : (tensor<i32>, tensor<2xf32>) -> ()
      }) : (tensor<i32>, tensor<2xf32>) -> (tensor<i32>, tensor<2xf32>)
      %positive = "stablehlo.compare"(%n, %zero) <{comparison_direction = #stablehlo<comparison_direction GT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %branch = "stablehlo.if"(%positive) ({
        "stablehlo.return"(%x) : (tensor<2xf32>) -> ()
      }, {
        %m = "stablehlo.negate"(%x) : (tensor<2xf32>) -> tensor<2xf32>
        "stablehlo.return"(%m) : (tensor<2xf32>) -> ()
      }) : (tensor<i1>) -> tensor<2xf32>
      %case = "stablehlo.case"(%n) ({
        "stablehlo.return"(%x) : (tensor<2xf32>) -> ()
      }, {
        %c = "stablehlo.composite"(%x) <{name = "my.double", decomposition = @double}> : (tensor<2xf32>) -> tensor<2xf32>
        "stablehlo.return"(%c) : (tensor<2xf32>) -> ()
      }) : (tensor<i32>) -> tensor<2xf32>
      func.return %loop, %branch, %case : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
    }
    func.func private @double(%v: tensor<2xf32>) -> tensor<2xf32> {
      %w = "stablehlo.add"(%v, %v) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      func.return %w : tensor<2xf32>
    }
    """)
    x = np.array([1, -2], np.float32)
    # The last branch of a case is that of every index that has none.
    for n, case in ((0, 1), (1, 2), (3, 2), (-1, 2)):
        loop, branch, chosen = run_module(module, [np.array(n, np.int32), x])
        np.testing.assert_array_equal(loop, x * 2.0 ** max(n, 0))
        np.testing.assert_array_equal(branch, x if n > 0 else -x)
        np.testing.assert_array_equal(chosen, x * case)


def test_what_cannot_be_run_says_so():
    x = normal(2)
    with pytest.raises(InterpretationError, match='custom call of "mystery" cannot be run'):
        run("custom_call", [x], "tensor<2xf32>", '<{call_target_name = "mystery"}>')
    with pytest.raises(
        InterpretationError, match=r"op stablehlo.rng_bit_generator cannot be run: no dialect defines it"
    ):
        run("rng_bit_generator", [x], "tensor<2xf32>")
