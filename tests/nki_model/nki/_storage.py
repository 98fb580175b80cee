"""Memory: allocations in SBUF, PSUM and HBM, and which of their bytes may be read."""

from enum import Enum
from math import prod

import numpy as np
from nki import _machine
from nki._dtypes import numpy_dtype
from nki._rules import fail
from nki._target import PARTITIONS, PSUM_BANK_BYTES


class MemoryRegion(Enum):
    """Memory region constants for NKI tensors."""

    sbuf = "sbuf"
    psum = "psum"
    private_hbm = "private_hbm"
    shared_hbm = "shared_hbm"


ON_CHIP = (MemoryRegion.sbuf, MemoryRegion.psum)


class Storage:
    """An allocation. Its bytes lie in `data`; `tags` says for each byte who may read it.

    On chip a partition's bytes are contiguous and partitions lie `pitch` bytes apart. A tile without an address has
    memory of its own, tag 1 where written. Tiles with addresses share one memory in which a byte's tag is the tile that
    wrote it last, so that what another tile has overwritten is known. In shared HBM the tag 2 + core marks what a core
    has written and the other may not read before a barrier. `matmul` marks the PSUM bytes that a matmul wrote last.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, buffer: MemoryRegion, name: str, address=None):
        self.shape, self.dtype, self.buffer, self.name = shape, dtype, buffer, name
        self.item = numpy_dtype(dtype).itemsize
        self.on_chip = buffer in ON_CHIP
        self.partition, self.base = 0, 0
        self.mark = 1
        self.matmul: np.ndarray | None = None
        self.shared_by_cores = False
        size = prod(shape) * self.item
        self.partition_bytes = prod(shape[1:]) * self.item if self.on_chip else size
        self.pitch = self.partition_bytes
        self.addressed = address is not None
        self.life = _machine.Life(buffer.value, self.partition_bytes, str(self))
        if self.on_chip and not self.addressed:
            _machine.core().lives.append(self.life)
        if self.addressed:
            self._at(address)
            return
        self.data = np.zeros(size, np.uint8)
        self.tags = np.zeros(size, np.uint8)
        if buffer is MemoryRegion.psum:
            self.matmul = np.zeros(size, np.uint8)

    def _at(self, address: tuple[int, int]) -> None:
        if not self.on_chip:
            fail("address", f"{self.name or 'a tensor'} in HBM has an address")
        self.partition, self.base = address
        memory = _machine.core().memory(self.buffer.value)
        limit = memory.pitch
        if not (self.partition >= 0 and self.partition + self.shape[0] <= PARTITIONS):
            fail("address", f"partitions {self.partition} to {self.partition + self.shape[0]} do not exist")
        if self.base < 0 or self.base + self.partition_bytes > limit:
            fail("address", f"bytes {self.base} to {self.base + self.partition_bytes} of a {limit}-byte partition")
        if self.buffer is MemoryRegion.psum and self.base % PSUM_BANK_BYTES:
            fail("address", f"a PSUM tile starts at byte {self.base}, which is not the start of a bank")
        self.data, self.tags, self.matmul = memory.data, memory.tags, memory.matmul
        self.pitch = memory.pitch
        self.mark = memory.next_owner()
        self.base += self.partition * self.pitch

    @staticmethod
    def of_array(array: np.ndarray, dtype: str, buffer: MemoryRegion, name: str) -> "Storage":
        """A kernel's argument: written everywhere."""
        self = Storage.__new__(Storage)
        self.shape, self.dtype, self.buffer, self.name = array.shape, dtype, buffer, name
        self.item, self.on_chip, self.partition, self.base = array.dtype.itemsize, False, 0, 0
        self.life, self.mark = _machine.Life(buffer.value, 0, name), 1
        self.matmul, self.addressed, self.shared_by_cores = None, False, False
        self.data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).copy()
        self.tags = np.ones(self.data.size, np.uint8)
        self.partition_bytes = self.pitch = self.data.size
        return self

    def locate(self, offset: int, shape, strides, dtype: str) -> tuple[int, tuple[int, ...]]:
        """The byte offset and byte strides of a view, in elements of `dtype`; a view outside of the storage fails."""
        item = numpy_dtype(dtype).itemsize
        if not self.on_chip:
            low = offset + sum(min(0, (n - 1) * s) for n, s in zip(shape, strides))
            high = offset + sum(max(0, (n - 1) * s) for n, s in zip(shape, strides))
            if low < 0 or (high + 1) * item > self.partition_bytes:
                fail("out-of-range", f"elements {low} to {high} of {self}")
            return self.base + offset * item, tuple(s * item for s in strides)
        free = self.partition_bytes // item
        partition, start = divmod(offset, free)
        low = start + sum(min(0, (n - 1) * s) for n, s in zip(shape[1:], strides[1:]))
        high = start + sum(max(0, (n - 1) * s) for n, s in zip(shape[1:], strides[1:]))
        if low < 0 or high >= free:
            fail("out-of-range", f"elements {low} to {high} of a partition of {free}, in {self}")
        if partition < 0 or partition + shape[0] > self.shape[0]:
            fail("out-of-range", f"partitions {partition} to {partition + shape[0] - 1} of {self}")
        return (
            self.base + partition * self.pitch + start * item,
            (self.pitch, *(s * item for s in strides[1:])),
        )

    def values(self, offset: int, shape, strides, dtype: str) -> np.ndarray:
        """A NumPy view; offset and strides in bytes."""
        return np.ndarray(shape, numpy_dtype(dtype), self.data, offset, strides)

    def _tags(self, offset: int, shape, strides, item: int, tags: np.ndarray) -> np.ndarray:
        width = tags.itemsize
        return np.ndarray((*shape, item), tags.dtype, tags, offset * width, (*(s * width for s in strides), width))

    def check_readable(self, offset: int, shape, strides, item: int, what: str) -> None:
        """Fail if a byte of the view was not written, or was overwritten by another tile or core."""
        self._check(self._tags(offset, shape, strides, item, self.tags), what)

    def check_positions(self, positions: np.ndarray, item: int, what: str) -> None:
        """The same for elements by their position; not for tiles with addresses."""
        self._check(self.tags.reshape(-1, item)[positions], what)

    def _check(self, tags: np.ndarray, what: str) -> None:
        self.life.last_access = _machine.core().clock
        if self.shared_by_cores:
            mine = 2 + _machine.core().index
            if ((tags == 1) | (tags == mine)).all():
                return
            if (tags == 0).any():
                fail("uninitialised", f"{what} reads {self} where nothing was written")
            fail("core-race", f"{what} reads {self} where the other core wrote, with no core_barrier between")
        if (tags == self.mark).all():
            return
        if self.addressed and ((tags != self.mark) & (tags != 0)).any():
            fail("clobbered", f"{what} reads {self} where another tile was written over it, or before its own write")
        fail("uninitialised", f"{what} reads {self} where nothing was written")

    def mark_written(self, offset: int, shape, strides, item: int, by_matmul: bool = False) -> None:
        """Record a write."""
        tags = self._tags(offset, shape, strides, item, self.tags)
        tags[...] = self._writer(tags)
        if self.matmul is not None:
            self._tags(offset, shape, strides, item, self.matmul)[...] = by_matmul

    def mark_positions(self, positions: np.ndarray, item: int) -> None:
        """The same for elements by their position."""
        tags = self.tags.reshape(-1, item)
        tags[positions] = self._writer(tags[positions])

    def _writer(self, tags: np.ndarray) -> int:
        life = self.life
        life.last_access = _machine.core().clock
        life.first_write = life.last_access if life.first_write is None else life.first_write
        if not self.shared_by_cores:
            return self.mark
        mark = 2 + _machine.core().index
        if (tags == 5 - mark).any():
            fail("core-race", f"both cores write the same elements of {self} with no core_barrier between")
        return mark

    def initialised_by_matmul(self, offset: int, shape, strides, item: int) -> np.ndarray:
        """For each element: did a matmul write it last?"""
        assert self.matmul is not None
        mine = self._tags(offset, shape, strides, item, self.tags) == self.mark
        return (mine & (self._tags(offset, shape, strides, item, self.matmul) == 1)).all(axis=-1)

    def written(self, offset: int, shape, strides, item: int) -> np.ndarray:
        """For each element: was it written?"""
        return (self._tags(offset, shape, strides, item, self.tags) == self.mark).all(axis=-1)

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"the {self.buffer.value} tensor{name} {list(self.shape)} {self.dtype}"
