"""Checks that instructions share."""

from typing import Any

import numpy as np
from nki._dtypes import INTEGERS
from nki._enums import engine
from nki._machine import tick
from nki._rules import fail
from nki._storage import MemoryRegion
from nki._tensor import NkiTensor


def begin(what: str, *operands: Any) -> None:
    """Count an instruction and check that its operands are tiles on legal partitions."""
    tick()
    for operand in operands:
        tile(operand, what)


def tile(operand: Any, what: str) -> NkiTensor:
    """An operand of a compute engine."""
    if not isinstance(operand, NkiTensor):
        fail("buffer", f"{what} gets {operand!r} where a tensor belongs")
    if not operand.storage.on_chip:
        fail("buffer", f"{what} gets {operand}, which is not in SBUF or PSUM")
    start, size = operand.start_partition, operand.shape[0]
    legal = (0,) if size > 64 else (0, 64) if size > 32 else (0, 32, 64, 96)
    if start not in legal:
        fail("start-partition", f"{what}: {operand} has {size} partitions from {start}; they may start at {legal}")
    free = [(n, s) for n, s in zip(operand.shape[1:], operand.strides[1:]) if n != 1]
    if not (_encodable(free) or _encodable(_merged(free))):
        fail("access-pattern", f"{what}: {operand} is accessed as {free}")
    return operand


def _encodable(free: list[tuple[int, int]]) -> bool:
    return len(free) <= 4 and all(n <= 65535 and s <= 32767 for n, s in free)


def _merged(free: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sizes and strides with contiguous neighbours taken together."""
    result: list[tuple[int, int]] = []
    for size, stride in free:
        if result and result[-1][1] == size * stride:
            result[-1] = (result[-1][0] * size, stride)
        else:
            result.append((size, stride))
    return result


def in_psum(operand: Any) -> bool:
    return isinstance(operand, NkiTensor) and operand.buffer is MemoryRegion.psum


def not_psum(which: engine, what: str, *operands: Any) -> None:
    """The GpSimd engine does not reach PSUM."""
    if which is engine.gpsimd and any(in_psum(operand) for operand in operands):
        fail("gpsimd-psum", f"{what} on the GpSimd engine with an operand in PSUM")


def not_both_psum(left: Any, right: Any, what: str) -> None:
    if in_psum(left) and in_psum(right):
        fail("two-psum-inputs", f"{what} reads {left} and {right}, both in PSUM")


def same_size(what: str, dst: NkiTensor, *others: Any) -> None:
    """As many partitions, and as many elements a partition, as `dst`; and no skewed overlap with it."""
    for other in others:
        if (other.shape[0], other.free_size) != (dst.shape[0], dst.free_size):
            fail("operand-shape", f"{what}: {list(other.shape)} against {list(dst.shape)}")
        overlap(what, dst, other)


def overlap(what: str, dst: NkiTensor, src: NkiTensor) -> None:
    """Fail if dst overlaps src and is not the same elements in the same order."""
    if dst.storage.data is not src.storage.data or (dst.place[0] == src.place[0] and _order(dst) == _order(src)):
        return
    bytes_dst = np.ndarray(dst.shape, dst.storage.values(0, (1,), (1,), dst.dtype).dtype, dst.storage.data, *dst.place)
    bytes_src = np.ndarray(src.shape, src.storage.values(0, (1,), (1,), src.dtype).dtype, src.storage.data, *src.place)
    if np.may_share_memory(bytes_dst, bytes_src) and np.shares_memory(bytes_dst, bytes_src):
        fail("overlap", f"{what} writes {dst} over its own input {src} in another order")


def _order(tensor: NkiTensor) -> list[tuple[int, int]]:
    return [(n, s) for n, s in zip(tensor.shape, tensor.place[1]) if n != 1]


def column(operand: NkiTensor, partitions: int, what: str, rule: str, dtypes: tuple[str, ...] | None) -> np.ndarray:
    """A [P, 1] tile as float32 values [P, 1]."""
    tile(operand, what)
    if (operand.shape[0], operand.free_size) != (partitions, 1):
        fail(rule, f"{what}: {list(operand.shape)} is not [{partitions}, 1]")
    if dtypes is not None and operand.dtype not in dtypes:
        fail(rule, f"{what}: a tile of {operand.dtype}; it must be {' or '.join(dtypes)}")
    return operand.read_float(what)


def scalar(
    operand: Any, partitions: int, what: str, rule: str = "scalar-operand", dtypes: tuple[str, ...] | None = None
) -> Any:
    """A number, or a [P, 1] tile as values."""
    if isinstance(operand, NkiTensor):
        return column(operand, partitions, what, rule, dtypes)
    if isinstance(operand, bool) or not isinstance(operand, (int, float, np.floating, np.integer)):
        fail(rule, f"{what} is {operand!r}, neither a number nor a tile")
    return np.float32(operand)


def integer(tensor: NkiTensor) -> bool:
    return tensor.dtype in INTEGERS
