"""Index patterns, selection, gather within partitions, shuffle between partitions."""

from typing import Any

import numpy as np
from nki import _enums
from nki._dtypes import FLOATS, NUMPY
from nki._enums import member
from nki._machine import tick
from nki._operands import begin, column, in_psum, same_size, scalar
from nki._ops import OPS, Op
from nki._reduce import update_registers
from nki._rules import fail
from nki._storage import MemoryRegion
from nki._target import at_least, nc_version
from nki._tensor import NkiTensor

FP32_MIN = float(np.finfo(np.float32).min)
_C = _enums.reduce_cmd


def _affine(pattern: Any, offset: Any, channel_multiplier: Any, dst: NkiTensor, what: str) -> np.ndarray:
    """offset + partition * channel_multiplier + sum(index * step), [partitions, elements a partition], int32."""
    pairs = list(pattern) if isinstance(pattern, (list, tuple)) else []
    if not 1 <= len(pairs) <= 4 or any(len(pair) != 2 or any(type(n) is not int for n in pair) for pair in pairs):
        fail("pattern", f"{what}: {pattern!r} is not up to four [step, number] pairs")
    if type(offset) is not int or type(channel_multiplier) is not int:
        fail("pattern", f"{what}: offset {offset!r} and channel_multiplier {channel_multiplier!r} are integers")
    numbers = [number for _, number in pairs]
    if min(numbers) <= 0 or int(np.prod(numbers)) != dst.free_size:
        fail("pattern", f"{what}: {pattern} has {int(np.prod(numbers))} elements, dst {dst.free_size} a partition")
    values = np.zeros(numbers, np.int64)
    for dim, (step, number) in enumerate(pairs):
        values += (np.arange(number) * step).reshape(-1, *(1 for _ in numbers[dim + 1 :]))
    rows = np.arange(dst.shape[0]) * channel_multiplier
    return (offset + rows[:, None] + values.reshape(1, -1)).astype(np.int32)


def _sbuf(what: str, *tensors: NkiTensor) -> None:
    for tensor in tensors:
        if tensor.buffer is not MemoryRegion.sbuf:
            fail("select-memory", f"{what}: {tensor} is not in SBUF")


def iota(dst: NkiTensor, pattern: Any, offset: int = 0, channel_multiplier: int = 0, name: str | None = None) -> None:
    """dst = an affine function of partition and position."""
    begin("iota", dst)
    _sbuf("iota", dst)
    dst.write(_affine(pattern, offset, channel_multiplier, dst, "iota"), "iota")


def affine_select(
    dst: NkiTensor,
    pattern: Any,
    channel_multiplier: int,
    on_true_tile: NkiTensor,
    on_false_value: float,
    cmp_op: Any = OPS["equal"],
    offset: int = 0,
    name: str | None = None,
) -> None:
    """dst = on_true_tile where `affine(partition, position) cmp_op 0`, else on_false_value."""
    begin("affine_select", dst, on_true_tile)
    _sbuf("affine_select", dst, on_true_tile)
    same_size("affine_select", dst, on_true_tile)
    if not isinstance(cmp_op, Op) or not cmp_op.compares:
        fail("enum" if not isinstance(cmp_op, Op) else "alu-op", f"cmp_op {cmp_op!r} is not a comparison")
    if not isinstance(on_false_value, (float, np.floating)):
        fail("select-value", f"on_false_value is {on_false_value!r}")
    assert cmp_op.alu is not None
    chosen = cmp_op.alu(_affine(pattern, offset, channel_multiplier, dst, "affine_select"), 0) != 0
    values = on_true_tile.read("affine_select").reshape(dst.shape[0], -1)
    if on_true_tile.dtype != dst.dtype or on_true_tile.dtype not in FLOATS:
        values = values.astype(np.float32)
    with np.errstate(all="ignore"):
        other = np.float32(on_false_value).astype(values.dtype)
    dst.write(np.where(chosen, values, other), "affine_select")


def range_select(
    dst: NkiTensor,
    on_true_tile: NkiTensor,
    comp_op0: Any,
    comp_op1: Any,
    bound0: NkiTensor,
    bound1: NkiTensor,
    reduce_cmd: Any = _C.reset_reduce,
    reduce_res: NkiTensor | None = None,
    reduce_op: Any = OPS["maximum"],
    range_start: int = 0,
    on_false_value: float = FP32_MIN,
    name: str | None = None,
) -> None:
    """dst = on_true_tile where range_start + position compares with both bounds, else FP32_MIN."""
    begin("range_select", dst, on_true_tile)
    at_least(nc_version.gen3, "range_select")
    member(reduce_cmd, _C, "reduce_cmd of range_select")
    same_size("range_select", dst, on_true_tile)
    for op in (comp_op0, comp_op1):
        if not isinstance(op, Op) or op.__name__ not in ("equal", "less", "less_equal", "greater", "greater_equal"):
            fail("range-select-op", f"comparison {op!r}")
    if not isinstance(reduce_op, Op) or reduce_op.__name__ != "maximum":
        fail("range-select-op", f"reduction {reduce_op!r}")
    if not isinstance(on_false_value, (float, np.floating)) or np.float32(on_false_value) != np.float32(FP32_MIN):
        fail("range-select-value", f"on_false_value is {on_false_value!r}")
    if on_true_tile.dtype not in FLOATS:
        fail("dtype", f"range_select of {on_true_tile.dtype}")
    if type(range_start) is not int or range_start < 0 or range_start + dst.free_size > 2**24:
        fail("range-select-index", f"range_start {range_start!r} with {dst.free_size} elements")
    low, high = (
        column(bound, dst.shape[0], "bound of range_select", "range-select-bound", ("float32",))
        for bound in (bound0, bound1)
    )
    position = (range_start + np.arange(dst.free_size)).astype(np.float32)[None, :]
    chosen = (comp_op0.alu(position, low) != 0) & (comp_op1.alu(position, high) != 0)
    values = np.where(chosen, on_true_tile.read_float("range_select"), np.float32(FP32_MIN))
    dst.write(values, "range_select")
    update_registers(values, dst, reduce_op, reduce_cmd, reduce_res, None, False)


def select_reduce(
    dst: NkiTensor,
    predicate: NkiTensor,
    on_true: NkiTensor,
    on_false: Any,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: Any = _C.idle,
    reduce_op: Any = OPS["maximum"],
    reverse_pred: bool = False,
    name: str | None = None,
) -> None:
    """dst = on_true where the predicate is not 0, else on_false (a number or [P, 1]); with a maximum."""
    begin("select_reduce", dst, predicate, on_true)
    member(reduce_cmd, _C, "reduce_cmd of select_reduce")
    if predicate.dtype not in ("int8", "uint8", "int16", "uint16"):
        fail("predicate", f"a predicate of {predicate.dtype}")
    if in_psum(on_true) and in_psum(predicate):
        fail("select-memory", "on_true and predicate both in PSUM")
    if on_true.dtype in ("int32", "uint32"):
        fail("dtype", f"select_reduce of {on_true.dtype}")
    if not isinstance(reduce_op, Op) or reduce_op.__name__ != "maximum":
        fail("reduce-op", f"{reduce_op!r} in select_reduce")
    same_size("select_reduce", dst, predicate, on_true)
    chosen = (predicate.read("select_reduce").reshape(dst.shape[0], -1) != 0) != reverse_pred
    other = scalar(on_false, dst.shape[0], "on_false of select_reduce")
    values = np.where(chosen, on_true.read_float("select_reduce"), other)
    dst.write(values, "select_reduce")
    update_registers(values, dst, reduce_op, reduce_cmd, reduce_res, None, False)


def nc_n_gather(dst: NkiTensor, data: NkiTensor, indices: NkiTensor, name: str | None = None) -> None:
    """dst[p, i] = data[p, indices[p, i]], free dimensions flattened."""
    begin("nc_n_gather", dst, data, indices)
    _sbuf("nc_n_gather", dst, data, indices)
    if indices.dtype != "uint32":
        fail("gather-index", f"indices of {indices.dtype}")
    if dst.dtype != data.dtype:
        fail("same-dtype", f"nc_n_gather from {data.dtype} to {dst.dtype}")
    same_size("nc_n_gather", dst, indices)
    if data.shape[0] != dst.shape[0]:
        fail("operand-shape", f"nc_n_gather: {data.shape[0]} partitions of data, {dst.shape[0]} of dst")
    at = indices.read("nc_n_gather").reshape(dst.shape[0], -1).astype(np.int64)
    if (at >= data.free_size).any():
        fail("gather-index", f"index {at.max()} of {data.free_size} elements")
    values = data.read("nc_n_gather").reshape(dst.shape[0], -1)
    dst.write(np.take_along_axis(values, at, axis=1), "nc_n_gather")


def nc_stream_shuffle(dst: NkiTensor, src: NkiTensor, shuffle_mask: Any, name: str | None = None) -> None:
    """In every 32 partitions, dst partition i = src partition shuffle_mask[i]; 255 leaves dst as it is."""
    tick()
    if dst.dtype != src.dtype:
        fail("same-dtype", f"nc_stream_shuffle from {src.dtype} to {dst.dtype}")
    if dst.free_size != src.free_size:
        fail("operand-shape", f"nc_stream_shuffle of {list(src.shape)} to {list(dst.shape)}")
    mask = list(shuffle_mask)
    if len(mask) != 32 or any(type(m) is not int or not (0 <= m < 32 or m == 255) for m in mask):
        fail("shuffle", f"the mask {mask}")
    active = -(-max(src.shape[0], dst.shape[0]) // 32) * 32
    legal = (0,) if active > 64 else (0, 64) if active > 32 else (0, 32, 64, 96)
    for tensor in (src, dst):
        if not tensor.storage.on_chip or tensor.start_partition not in legal:
            fail("shuffle", f"{tensor} starts at partition {tensor.start_partition}; legal are {legal}")
    rows = src.storage.values(src.place[0], src.shape, src.place[1], src.dtype).copy()
    for partition in range(dst.shape[0]):
        source = partition // 32 * 32 + mask[partition % 32]
        if mask[partition % 32] == 255:
            continue
        if source >= src.shape[0]:
            fail("shuffle", f"partition {partition} copies from {source}, src has {src.shape[0]}")
        src.storage.check_readable(*_row(src, source), "nc_stream_shuffle")
        shape = (1, *dst.shape[1:])
        target = dst.storage.values(_row(dst, partition)[0], shape, dst.place[1], dst.dtype)
        target[...] = rows[source].reshape(shape)
        dst.storage.mark_written(*_row(dst, partition))


def _row(tensor: NkiTensor, partition: int) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
    offset = tensor.place[0] + partition * tensor.place[1][0]
    return offset, (1, *tensor.shape[1:]), tensor.place[1], NUMPY[tensor.dtype].itemsize
