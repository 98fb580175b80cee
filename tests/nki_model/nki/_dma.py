"""DMA: copies between HBM and SBUF, gather and scatter by run-time indices, transposes."""

from typing import Any

import numpy as np
from nki import _enums
from nki._dtypes import NUMPY, convert
from nki._enums import member
from nki._machine import tick
from nki._rules import fail
from nki._storage import MemoryRegion
from nki._target import at_least, nc_version
from nki._tensor import NkiTensor

_E, _D, _O = _enums.engine, _enums.dge_mode, _enums.oob_mode


class _Rows:
    """An indirect view with its indices read: element positions for each entry of dimension 0, and which exist."""

    def __init__(self, tensor: NkiTensor, oob: Any, flatten: bool = False):
        access = tensor.indirect_access
        assert access is not None
        self.tensor = tensor
        index = access.index
        if isinstance(index, NkiTensor):
            values = index.read("the index of a DMA").astype(np.int64)
            at = (values.T if flatten else values).reshape(-1)
        else:
            at = np.array([index.read_register()], np.int64)
        shape = tensor.shape
        if access.vector:
            if not flatten and (index.shape[0] != shape[0] or index.size != shape[0]):
                fail(
                    "indirect", f"vector_offset {list(index.shape)} for {shape[0]} entries; it must be [{shape[0]}, 1]"
                )
            at = at[: shape[0]]
        inner = tensor.strides[1:] if access.vector else tensor.strides
        extents = shape[1:] if access.vector else shape
        grid = np.zeros(extents, np.int64)
        for dim, (size, stride) in enumerate(zip(extents, inner)):
            grid += (np.arange(size) * stride).reshape(-1, *(1 for _ in extents[dim + 1 :]))
        starts = tensor.offset + at * access.stride
        if tensor.storage.on_chip:
            # Partitions lie apart: elements of one partition are found by their place in it.
            tensor.storage.locate(int(starts[0]), shape, tensor.strides, tensor.dtype)
        self.positions = (starts.reshape(-1, *(1 for _ in extents)) + grid).reshape(len(at), -1)
        total = tensor.storage.data.size // NUMPY[tensor.dtype].itemsize
        self.inside = (at >= 0) & (at < access.limit)
        self.inside &= (self.positions.min(axis=1) >= 0) & (self.positions.max(axis=1) < total)
        if not self.inside.all() and oob is _O.error:
            bad = at[~self.inside][0]
            fail("dma-bounds", f"index {bad} of {access.limit} in {tensor}, with oob_mode.error")

    def _check_plain(self) -> None:
        if self.tensor.storage.addressed:
            fail("not-modelled", "a run-time index into a tile with an address")

    def read(self) -> np.ndarray:
        """One row for each index; rows out of bounds are not to be used."""
        self._check_plain()
        storage, item = self.tensor.storage, NUMPY[self.tensor.dtype].itemsize
        result = np.zeros(self.positions.shape, NUMPY[self.tensor.dtype])
        storage.check_positions(self.positions[self.inside], item, "a DMA")
        flat = storage.data.view(NUMPY[self.tensor.dtype])
        result[self.inside] = flat[self.positions[self.inside]]
        return result

    def write(self, values: np.ndarray) -> None:
        self._check_plain()
        storage, item = self.tensor.storage, NUMPY[self.tensor.dtype].itemsize
        flat = storage.data.view(NUMPY[self.tensor.dtype])
        rows = convert(values, self.tensor.dtype).reshape(self.positions.shape)
        flat[self.positions[self.inside]] = rows[self.inside]
        storage.mark_positions(self.positions[self.inside], item)


def _check(what: str, dst: NkiTensor, src: NkiTensor, dge: Any, oob: Any, engine: Any) -> None:
    tick()
    for tensor in (dst, src):
        if not isinstance(tensor, NkiTensor):
            fail("buffer", f"{what} gets {tensor!r} where a tensor belongs")
        if tensor.buffer is MemoryRegion.psum:
            fail("dma-psum", f"{what} with {tensor}")
    member(dge, _D, f"dge_mode of {what}")
    member(oob, _O, f"oob_mode of {what}")
    member(engine, _E, f"engine of {what}")
    if engine is not _E.unknown and (dge is not _D.hwdge or engine not in (_E.scalar, _E.sync)):
        fail("dma-dge", f"{what}: engine {engine} with {dge}")
    if dge is _D.hwdge:
        at_least(nc_version.gen3, "dge_mode.hwdge")
        if dst.dtype != src.dtype:
            fail("dma-cast", f"{what} from {src.dtype} to {dst.dtype} with dge_mode.hwdge")
    indirect = [tensor.indirect_access for tensor in (dst, src) if tensor.indirect_access is not None]
    if any(access.vector for access in indirect):
        at_least(nc_version.gen3, "gather and scatter by vector_offset")
        if dge not in (_D.unknown, _D.swdge):
            fail("dma-dge", f"{what}: vector_offset with {dge}")
    if indirect and dge is _D.none:
        fail("dma-dge", f"{what}: a run-time index with {dge}")
    if not indirect and oob is _O.skip:
        fail("dma-oob-mode", f"{what}: oob_mode.skip without a run-time index")


def dma_copy(
    dst: NkiTensor,
    src: NkiTensor,
    priority: int | None = None,
    oob_mode: Any = _O.error,
    dge_mode: Any = _D.unknown,
    engine: Any = _E.unknown,
    name: str | None = None,
) -> None:
    """dst = src, between HBM and SBUF; elements in row-major order, converted through float32 if dtypes differ."""
    _check("dma_copy", dst, src, dge_mode, oob_mode, engine)
    if priority is not None:
        at_least(nc_version.gen4, "priority of dma_copy")
    if dst.size != src.size:
        fail("dma-size", f"dma_copy of {list(src.shape)} to {list(dst.shape)}")
    if src.indirect_access is None and dst.indirect_access is None:
        dst.write(src.read("dma_copy"), "dma_copy")
        return
    if src.indirect_access is not None and dst.indirect_access is not None:
        fail("not-modelled", "run-time indices in dst and src of one DMA")
    if dst.indirect_access is not None:
        _Rows(dst, oob_mode).write(src.read("dma_copy"))
        return
    rows = _Rows(src, oob_mode)
    values = rows.read()
    if rows.inside.all():
        dst.write(values, "dma_copy")
    elif dst.shape[0] == len(rows.inside):
        for row in np.flatnonzero(rows.inside):
            dst[int(row)].write(values[row], "dma_copy")
    elif rows.inside.any():
        fail("not-modelled", "skipped rows of a DMA whose dst has other rows")


def dma_transpose(
    dst: NkiTensor,
    src: NkiTensor,
    axes: tuple[int, ...] | None = None,
    priority: int | None = None,
    dge_mode: Any = _D.unknown,
    oob_mode: Any = _O.error,
    name: str | None = None,
) -> None:
    """dst = src with its dimensions permuted: (1, 0), (2, 1, 0) or (3, 1, 2, 0)."""
    _check("dma_transpose", dst, src, dge_mode, oob_mode, _E.unknown)
    legal = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}
    order = legal.get(src.ndim) if axes is None else tuple(axes)
    if order is None or order != legal.get(src.ndim):
        fail("dma-transpose", f"axes {axes} of {list(src.shape)}")
    assert order is not None
    if src.indirect_access is None and dge_mode not in (_D.unknown, _D.hwdge):
        fail("dma-transpose", f"{dge_mode} without a run-time index; it must be unknown or hwdge")
    if dst.dtype != src.dtype:
        fail("same-dtype", f"dma_transpose from {src.dtype} to {dst.dtype}")
    if dst.buffer is not MemoryRegion.sbuf:
        fail("dma-transpose", f"dst {dst} is not in SBUF")
    if dst.shape != tuple(src.shape[axis] for axis in order):
        fail("dma-transpose", f"{list(src.shape)} by {order} to {list(dst.shape)}")
    if dge_mode is _D.hwdge:
        _check_hardware(src)
    if src.indirect_access is None:
        dst.write(src.read("dma_transpose").transpose(order), "dma_transpose")
        return
    if src.indirect_access.vector:
        _check_gather(src)
    rows = _Rows(src, oob_mode, flatten=src.indirect_access.vector)
    values = rows.read().reshape(src.shape)
    if rows.inside.all():
        dst.write(values.transpose(order), "dma_transpose")
        return
    for row in np.flatnonzero(rows.inside):
        key = (slice(None),) * (dst.ndim - 1) + (slice(int(row), int(row) + 1),)
        dst[key].write(values[row : row + 1].transpose(order), "dma_transpose")


def _check_hardware(src: NkiTensor) -> None:
    rows = src.shape[0]
    if src.ndim == 2 and rows != 16:
        fail("dma-transpose", f"{rows} rows with hwdge, it takes 16")
    if src.ndim > 2 and (rows not in (1, 2, 4, 8, 16) or rows * src.shape[-2] % 16):
        fail("dma-transpose", f"{list(src.shape)} with hwdge")
    if src.shape[-1] > 128 or NUMPY[src.dtype].itemsize != 2:
        fail("dma-transpose", f"{list(src.shape)} of {src.dtype} with hwdge; at most 128, of 2 bytes")


def _check_gather(src: NkiTensor) -> None:
    assert src.indirect_access is not None
    index = src.indirect_access.index
    rows, columns = index.shape[0], index.free_size
    if src.ndim == 4 and 1 not in src.shape[1:3]:
        fail("dma-transpose", f"{list(src.shape)}: one middle dimension is 1")
    if src.shape[-1] > 128 or NUMPY[src.dtype].itemsize != 2:
        fail("dma-transpose", f"{list(src.shape)} of {src.dtype} by index; at most 128, of 2 bytes")
    if index.ndim != 2 or index.dtype != "uint32" or index.size < src.shape[0]:
        fail("dma-transpose", f"an index {list(index.shape)} of {index.dtype} for {src.shape[0]} rows")
    if src.shape[0] % 16 or rows % 16 or not 16 <= rows <= 128 or (columns > 1 and rows != 128):
        fail("dma-transpose", f"{src.shape[0]} rows by an index {list(index.shape)}")
