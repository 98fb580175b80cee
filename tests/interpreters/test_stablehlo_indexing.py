"""StableHLO's slices, gathers and scatters, with starts that do not fit.

Each expected value is written from the op's definition in the StableHLO specification, an element at a time where the
implementation is vectorised; inputs are random.
"""
# MLIR does not wrap.
# ruff: noqa: E501

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import body, integers, normal, run, tensor

from flashlower.dialects.numpy_values import element_type_of


@pytest.mark.parametrize("start", [(0, 0), (1, 2), (-5, 1), (9, 9)])
def test_dynamic_slices_are_clamped(start):
    x, update = normal(5, 6), normal(3, 2)
    i, j = (min(max(s, 0), n - k) for s, n, k in zip(start, x.shape, update.shape, strict=True))
    starts = [np.array(s, np.int32) for s in start]
    (part,) = run("dynamic_slice", [x, *starts], tensor(update), "<{slice_sizes = array<i64: 3, 2>}>")
    np.testing.assert_array_equal(part, x[i : i + 3, j : j + 2])
    expected = x.copy()
    expected[i : i + 3, j : j + 2] = update
    before = x.copy()
    np.testing.assert_array_equal(run("dynamic_update_slice", [x, update, *starts], tensor(x))[0], expected)
    np.testing.assert_array_equal(x, before)


def test_slice():
    x = normal(6, 7)
    (part,) = run(
        "slice",
        [x],
        "tensor<2x3xf32>",
        "<{start_indices = array<i64: 1, 2>, limit_indices = array<i64: 5, 7>, strides = array<i64: 3, 2>}>",
    )
    for i, j in np.ndindex(2, 3):
        assert part[i, j] == x[1 + 3 * i, 2 + 2 * j]


def gathered(x, indices, sizes, *, offset, collapsed, batching, index_batching, mapped, vector):
    """The specification's gather, an element at a time."""
    batch_shape = [n for d, n in enumerate(indices.shape) if d != vector]
    kept = [d for d in range(x.ndim) if d not in (*collapsed, *batching)]
    rank = len(batch_shape) + len(offset)
    batch_dims = [d for d in range(rank) if d not in offset]
    shape = [0] * rank
    for d, n in zip(batch_dims, batch_shape, strict=True):
        shape[d] = n
    for d, k in zip(offset, kept, strict=True):
        shape[d] = sizes[k]
    result = np.zeros(shape, x.dtype)
    for index in np.ndindex(*shape):
        batch = [index[d] for d in batch_dims]
        where = list(batch)
        if vector < indices.ndim:
            where.insert(vector, slice(None))
        start = np.atleast_1d(indices[tuple(where)])
        place = [0] * x.ndim
        for entry, d in enumerate(mapped):
            place[d] = min(max(int(start[entry]), 0), x.shape[d] - sizes[d])
        for d, b in zip(batching, index_batching, strict=True):
            place[d] = batch[b - (b > vector)]
        for d, k in zip(offset, kept, strict=True):
            place[k] += index[d]
        result[index] = x[tuple(place)]
    return result


@pytest.mark.parametrize(
    "indices, sizes, numbers",
    [
        ((4,), (1, 6, 2), dict(offset=(1, 2), collapsed=(0,), mapped=(0,), vector=1)),
        ((4, 1), (2, 3, 7), dict(offset=(0, 2, 3), collapsed=(), mapped=(1,), vector=1)),
        ((2, 4, 3), (2, 1, 3), dict(offset=(0, 3), collapsed=(1,), mapped=(2, 1), vector=0)),
        (
            (3, 1, 5),
            (1, 1, 2),
            dict(offset=(1,), collapsed=(1,), mapped=(1,), vector=1, batching=(0,), index_batching=(2,)),
        ),
        (
            (5, 6),
            (1, 1, 1),
            dict(offset=(), collapsed=(2,), mapped=(2,), vector=2, batching=(0, 1), index_batching=(0, 1)),
        ),
    ],
)
def test_gather(indices, sizes, numbers):
    numbers = {"batching": (), "index_batching": (), **numbers}
    x, where = normal(5, 6, 7), integers(-3, 9, *indices)
    expected = gathered(x, where, sizes, **numbers)
    (result,) = run(
        "gather",
        [x, where],
        tensor(expected),
        f"<{{dimension_numbers = #stablehlo.gather<offset_dims = {list(numbers['offset'])}, "
        f"collapsed_slice_dims = {list(numbers['collapsed'])}, operand_batching_dims = {list(numbers['batching'])}, "
        f"start_indices_batching_dims = {list(numbers['index_batching'])}, start_index_map = {list(numbers['mapped'])}, "
        f"index_vector_dim = {numbers['vector']}>, slice_sizes = array<i64: {', '.join(map(str, sizes))}>}}>",
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("op", ["add", "maximum", None])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_scatter(op, dtype):
    # Rows of updates go to x[where[k], :]; -1 and 7 do not fit, and 2 is listed twice.
    x, updates = normal(5, 6, dtype=dtype), normal(5, 6, dtype=dtype)
    where = np.array([2, -1, 4, 7, 2] if op is not None else [2, -1, 4, 7, 0], np.int32)
    expected = x.astype(np.float32)
    for k, row in enumerate(where):
        if 0 <= row < 5:
            new = updates[k].astype(np.float32)
            expected[row] = new if op is None else {"add": np.add, "maximum": np.maximum}[op](expected[row], new)
    scalar = f"tensor<{element_type_of(np.dtype(dtype))}>"
    region = (
        body(op, scalar)
        if op is not None
        else f'({{\n^bb0(%old: {scalar}, %new: {scalar}):\n  "stablehlo.return"(%new) : ({scalar}) -> ()\n}})'
    )
    (result,) = run(
        "scatter",
        [x, where, updates],
        tensor(x),
        "<{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], "
        "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}>",
        region,
    )
    np.testing.assert_array_equal(result, expected.astype(dtype))
