"""StableHLO's ops that move elements, and its tensor contraction.

Each expected value is written from the op's definition in the StableHLO specification, an element at a time where the
implementation is vectorised; inputs are random.
"""
# MLIR does not wrap.
# ruff: noqa: E501

import itertools

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import normal, run, tensor

from flashlower.dialects.numpy_values import element_type_of


def test_shapes():
    x, column = normal(2, 3, 4), normal(3, 1)
    (moved,) = run("transpose", [x], "tensor<4x2x3xf32>", "<{permutation = array<i64: 2, 0, 1>}>")
    (wide,) = run("broadcast_in_dim", [column], tensor(x), "<{broadcast_dimensions = array<i64: 1, 2>}>")
    for i, j, k in np.ndindex(2, 3, 4):
        assert moved[k, i, j] == x[i, j, k]
        assert wide[i, j, k] == column[j, 0]
    (flipped,) = run("reverse", [x], tensor(x), "<{dimensions = array<i64: 0, 2>}>")
    np.testing.assert_array_equal(flipped, x[::-1, :, ::-1])
    (joined,) = run("concatenate", [x, x[:, :1]], "tensor<2x4x4xf32>", "<{dimension = 1 : i64}>")
    np.testing.assert_array_equal(joined[:, 3], x[:, 0])
    (counted,) = run("iota", [], "tensor<2x3xf16>", "<{iota_dimension = 1 : i64}>")
    assert counted.tolist() == [[0, 1, 2]] * 2
    (counted,) = run("dynamic_iota", [np.array([3, 2])], "tensor<3x2xi32>", "<{iota_dimension = 0 : i64}>")
    assert counted.tolist() == [[0, 0], [1, 1], [2, 2]]
    (size,) = run("get_dimension_size", [x], "tensor<i32>", "<{dimension = 2 : i64}>")
    assert size == 4


# broadcast_in_dim may put dimensions in any order.
def test_broadcast_in_dim_permutes():
    x = normal(2, 3)
    (result,) = run("broadcast_in_dim", [x], "tensor<3x4x2xf32>", "<{broadcast_dimensions = array<i64: 2, 0>}>")
    for i, j, k in np.ndindex(3, 4, 2):
        assert result[i, j, k] == x[k, i]


@pytest.mark.parametrize(
    "shape, low, high, interior",
    [((3, 4), (1, 2), (0, 1), (0, 0)), ((3, 4), (-1, 3), (2, -2), (1, 2)), ((2, 5), (-2, -1), (4, -3), (3, 0))],
)
def test_pad(shape, low, high, interior):
    x = normal(*shape)
    sizes = [a + n + (n - 1) * i + b for n, a, b, i in zip(shape, low, high, interior, strict=True)]
    expected = np.full(sizes, 9, np.float32)
    for index in np.ndindex(*shape):
        place = tuple(a + k * (i + 1) for k, a, i in zip(index, low, interior, strict=True))
        if all(0 <= k < n for k, n in zip(place, sizes, strict=True)):
            expected[place] = x[index]

    def array(values):
        return f"array<i64: {', '.join(map(str, values))}>"

    (result,) = run(
        "pad",
        [x, np.array(9, np.float32)],
        tensor(expected),
        f"<{{edge_padding_low = {array(low)}, edge_padding_high = {array(high)}, interior_padding = {array(interior)}}}>",
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "lhs, rhs, batching, contracting",
    [
        ((2, 3), (3, 4), ((), ()), ((1,), (0,))),
        ((2, 3, 4, 5), (5, 7, 3, 2), ((0, 3), (3, 0)), ((1,), (2,))),
        ((2, 3, 4, 5), (4, 6, 2, 3), ((), ()), ((0, 1), (2, 3))),
        ((4, 2), (4,), ((0,), (0,)), ((), ())),
        ((5,), (5,), ((), ()), ((0,), (0,))),
    ],
)
@pytest.mark.parametrize("dtype, result", [(np.float32, "f32"), (ml_dtypes.bfloat16, "f32"), (np.int8, "i32")])
def test_dot_general(lhs, rhs, batching, contracting, dtype, result):
    a, b = (normal(*shape, dtype=np.float32) * 3 for shape in (lhs, rhs))
    a, b = a.astype(dtype), b.astype(dtype)
    # Every dimension gets a letter; those that are paired share one.
    left = [chr(ord("a") + i) for i in range(len(lhs))]
    right = [chr(ord("m") + i) for i in range(len(rhs))]
    for i, j in itertools.chain(zip(*batching, strict=True), zip(*contracting, strict=True)):
        right[j] = left[i]
    out = [left[i] for i in batching[0]]
    out += [x for i, x in enumerate(left) if i not in (*batching[0], *contracting[0])]
    out += [x for j, x in enumerate(right) if j not in (*batching[1], *contracting[1])]
    expected = np.einsum(
        f"{''.join(left)},{''.join(right)}->{''.join(out)}", a.astype(np.float64), b.astype(np.float64)
    )
    numbers = ", ".join(
        f"{side}_{kind}_dimensions = {list(dims)}"
        for kind, pair in (("batching", batching), ("contracting", contracting))
        for side, dims in zip(("lhs", "rhs"), pair, strict=True)
    )
    type = f"tensor<{''.join(f'{n}x' for n in expected.shape)}{result}>"
    (got,) = run("dot_general", [a, b], type, f"<{{dot_dimension_numbers = #stablehlo.dot<{numbers}>}}>")
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# Products of f16 and bf16 are summed in f32: 2048 ones and a half do not fit into the sums on the way.
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_products_are_summed_in_float32(dtype):
    a = np.ones((1, 4096), dtype)
    (got,) = run(
        "dot_general",
        [a, a],
        f"tensor<1x1x{element_type_of(np.dtype(dtype))}>",
        "<{dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [1]>}>",
    )
    assert got == 4096
