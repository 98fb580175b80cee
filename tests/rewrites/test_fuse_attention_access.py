"""
Locks in the index algebra that detection rests on: reads followed through random reshapes and transposes are, element
by element, what NumPy reads, and two reads are equal exactly if they read the same elements.
"""

from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import pytest
from xdsl.dialects.builtin import DYNAMIC_INDEX

from flashlower.rewrites.fuse_attention.access import Index, Indices, Var, reshape_indices, same_indices


def evaluate(indices: Indices, values: dict[Var, int]) -> tuple[int, ...]:
    return tuple(
        index.offset + sum(values[d.var] // d.div % d.size * stride for d, stride in index.terms) for index in indices
    )


def factors(random: Random, size: int) -> list[int]:
    """A random shape with as many elements, dimensions of size 1 included."""
    shape: list[int] = []
    while size > 1:
        shape.append(random.choice([f for f in range(2, size + 1) if size % f == 0]))
        size //= shape[-1]
    for _ in range(random.randint(0, 2)):
        shape.insert(random.randint(0, len(shape)), 1)
    return shape


@pytest.mark.parametrize("seed", range(100))
def test_reads_through_views_are_what_numpy_reads(seed: int) -> None:
    random = Random(seed)
    sizes = [random.choice([1, 2, 2, 3, 4, 6]) for _ in range(random.randint(1, 4))]
    variables = [Var(size, f"v{i}") for i, size in enumerate(sizes)]
    # Followed backwards from a result, as detection does: `array` is the result as the source sees it.
    source = np.arange(math.prod(sizes)).reshape(sizes)
    indices: Indices | None = tuple(map(Index.of, variables))
    steps: list[tuple[str, list[int]]] = []
    shape = list(sizes)
    for _ in range(random.randint(1, 5)):
        if random.random() < 0.5:
            order = random.sample(range(len(shape)), len(shape))
            # result[i...] = operand[...] where operand dimension order[j] is result dimension j
            before = [0] * len(shape)
            for j, dim in enumerate(order):
                before[dim] = shape[j]
            operand_indices = [Index()] * len(shape)
            for index, dim in zip(indices, order):
                operand_indices[dim] = index
            indices, shape = tuple(operand_indices), before
            steps.append(("transpose", order))
        else:
            new_shape = factors(random, math.prod(shape))
            steps.append(("reshape", list(shape)))
            indices = reshape_indices(indices, shape, new_shape)
            if indices is None:
                # Digits that do not divide each other: nothing is claimed.
                return
            shape = new_shape
    operand = np.arange(source.size).reshape(shape)
    result = operand
    for kind, argument in reversed(steps):
        result = result.transpose(argument) if kind == "transpose" else result.reshape(argument)
    for position in itertools.product(*map(range, sizes)):
        assert operand[evaluate(indices, dict(zip(variables, position)))] == result[position]


def test_views_that_cancel_out_read_the_same() -> None:
    a, b = Var(4, "a"), Var(6, "b")
    read = (Index.of(a), Index.of(b))
    flat = reshape_indices(read, [4, 6], [24])
    assert flat is not None
    assert same_indices(reshape_indices(flat, [24], [4, 6]) or (), read)
    assert not same_indices(reshape_indices(flat, [24], [6, 4]) or (), (Index.of(b), Index.of(a)))


@pytest.mark.parametrize(
    ("shape", "new_shape"),
    [
        ([4, 6], [5, 5]),
        ([0, 4], [4, 0]),
        ([DYNAMIC_INDEX] * 2, [DYNAMIC_INDEX] * 2),
        ([DYNAMIC_INDEX, 4], [4, DYNAMIC_INDEX]),
    ],
    ids=["other size", "empty", "two unknown sizes", "an unknown size that moves"],
)
def test_what_cannot_be_said_is_not_said(shape: list[int], new_shape: list[int]) -> None:
    indices = tuple(Index.of(Var(size, "v")) for size in shape)
    if shape == [4, 6]:
        indices = (Index.of(Var(4, "a")), Index.of(Var(6, "b")))
    assert reshape_indices(indices, shape, new_shape) is None


def test_sizes_of_one_do_not_count() -> None:
    a, one = Var(3, "a"), Var(1, "one")
    assert same_indices((Index.of(a), Index.of(one)), (Index.of(a), Index()))
    assert not Index.of(one).uses(one)
