"""NkiTensor: a strided view of an allocation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from nki import _machine, _views
from nki._dtypes import convert, numpy_dtype
from nki._objects import NKIObject
from nki._rules import fail
from nki._storage import ON_CHIP, MemoryRegion, Storage
from nki._target import PARTITIONS


@dataclass(frozen=True)
class DynamicSlice:
    """`nl.ds(start, size)`."""

    start: int
    size: int


@dataclass(frozen=True)
class Indirect:
    """A run-time offset: `index` times `stride` elements are added; index lies in [0, limit).

    `vector`: one index for each entry of dimension 0 of the view, in place of that dimension's own stride.
    """

    index: Any
    vector: bool
    stride: int
    limit: int


class NkiTensor(NKIObject):
    """A view: element [i...] is at `offset + sum(strides * i)` of the storage, in elements of `dtype`.

    On chip, dimension 0 is the partitions and its stride the elements of a partition.
    """

    def __init__(self, storage: Storage, shape, strides, offset: int, dtype: str, indirect: Indirect | None = None):
        self.storage, self.dtype, self.offset, self.indirect_access = storage, dtype, offset, indirect
        self.shape: tuple[int, ...] = tuple(shape)
        self.strides: tuple[int, ...] = tuple(strides)
        if any(not isinstance(n, int) or n <= 0 for n in self.shape):
            fail("shape", f"{self.shape} is not a shape of positive integers")
        if storage.on_chip and len(self.shape) > 5:
            fail("shape", f"a view of {storage} has {len(self.shape)} dimensions, at most 5")
        if storage.on_chip and self.strides[0] != storage.partition_bytes // numpy_dtype(dtype).itemsize:
            fail("partition-stride", f"dimension 0 of a view of {storage} has the stride {self.strides[0]}")
        if indirect is None:
            self.place = storage.locate(offset, self.shape, self.strides, dtype)

    # What a kernel may ask

    @property
    def buffer(self) -> MemoryRegion:
        return self.storage.buffer

    @property
    def name(self) -> str:
        return self.storage.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def start_partition(self) -> int:
        """The first physical partition."""
        return self.storage.partition + self.offset // self.strides[0]

    @property
    def free_size(self) -> int:
        """Elements a partition."""
        return prod(self.shape[1:])

    def get_pattern(self) -> list[list[int]]:
        return [[stride, size] for stride, size in zip(self.strides, self.shape)]

    def is_indirect(self) -> bool:
        return self.indirect_access is not None

    def is_contiguous(self) -> bool:
        start = 1 if self.storage.on_chip else 0
        return _views.contiguous(self.shape[start:], self.strides[start:])

    def __bool__(self) -> bool:
        fail("compile-time-value", f"the value of {self} decides a Python condition")
        return False

    __iter__ = None
    __array__ = None

    # Views

    def _view(self, shape, strides, offset: int | None = None, dtype: str | None = None) -> "NkiTensor":
        if self.indirect_access is not None and self.indirect_access.vector and strides[0] != self.strides[0]:
            fail("view", "the dimension that an index vector selects cannot be changed")
        place = self.offset if offset is None else offset
        return NkiTensor(self.storage, shape, strides, place, dtype or self.dtype, self.indirect_access)

    def __getitem__(self, key: Any) -> "NkiTensor":
        shape, strides, offset = _views.index(self.shape, self.strides, key, self.storage.on_chip)
        return self._view(shape, strides, self.offset + offset)

    def __setitem__(self, key: Any, value: Any) -> None:
        from nki import _dma, _elementwise

        dst = self[key]
        if isinstance(value, NkiTensor):
            copy = _elementwise.tensor_copy if dst.storage.on_chip and value.storage.on_chip else _dma.dma_copy
            copy(dst, value.reshape(dst.shape) if value.shape != dst.shape else value)
        else:
            _elementwise.memset(dst, value)

    def _keep_partitions(self, dim: int, what: str) -> None:
        if not -self.ndim <= dim < self.ndim:
            fail("view", f"{what}: dimension {dim} of {self.ndim}")
        if dim == 0 and (self.storage.on_chip or self.is_indirect()):
            fail("view", f"{what} changes the partitions")

    def slice(self, dim: int, start: int, end: int, step: int = 1) -> "NkiTensor":
        return self[(slice(None),) * dim + (slice(start, end, step),)]

    def permute(self, dims: Sequence[int]) -> "NkiTensor":
        if sorted(dims) != list(range(self.ndim)):
            fail("view", f"permute: {dims} is no permutation of {self.ndim} dimensions")
        if dims[0] != 0:
            self._keep_partitions(0, "permute")
        return self._view([self.shape[d] for d in dims], [self.strides[d] for d in dims])

    def broadcast(self, dim: int, size: int) -> "NkiTensor":
        self._keep_partitions(dim, "broadcast")
        if self.shape[dim] != 1:
            fail("view", f"broadcast: dimension {dim} of {self.shape} is not 1")
        return self._view(_views.put(self.shape, dim, (size,)), _views.put(self.strides, dim, (0,)))

    def expand_dim(self, dim: int) -> "NkiTensor":
        if dim == 0:
            self._keep_partitions(dim, "expand_dim")
        shape, strides = list(self.shape), list(self.strides)
        shape.insert(dim, 1)
        strides.insert(dim, 1)
        return self._view(shape, strides)

    def squeeze_dim(self, dim: int) -> "NkiTensor":
        self._keep_partitions(dim, "squeeze_dim")
        if self.shape[dim] != 1:
            fail("view", f"squeeze_dim: dimension {dim} of {self.shape} is not 1")
        return self._view(_views.put(self.shape, dim, ()), _views.put(self.strides, dim, ()))

    def reshape_dim(self, dim: int, shape: Sequence[int]) -> "NkiTensor":
        if tuple(shape) != (self.shape[dim],):
            self._keep_partitions(dim, "reshape_dim")
        sizes = _views.infer(self.shape[dim], shape)
        steps = [self.strides[dim] * prod(sizes[i + 1 :]) for i in range(len(sizes))]
        return self._view(_views.put(self.shape, dim, sizes), _views.put(self.strides, dim, steps))

    def flatten_dims(self, start_dim: int, end_dim: int) -> "NkiTensor":
        self._keep_partitions(start_dim, "flatten_dims")
        inner = slice(start_dim, end_dim + 1)
        steps = _views.reshape_strides(self.shape[inner], self.strides[inner], (prod(self.shape[inner]),))
        shape = (*self.shape[:start_dim], prod(self.shape[inner]), *self.shape[end_dim + 1 :])
        return self._view(shape, (*self.strides[:start_dim], *steps, *self.strides[end_dim + 1 :]))

    def reshape(self, shape: Sequence[int]) -> "NkiTensor":
        shape = tuple(shape)
        if prod(shape) != self.size:
            fail("view", f"reshape: {self.shape} and {shape} differ in size")
        if not self.storage.on_chip:
            return self._view(shape, _views.reshape_strides(self.shape, self.strides, shape))
        if shape[0] != self.shape[0]:
            fail("view", f"reshape: {self.shape} to {shape} changes the partitions")
        free = _views.reshape_strides(self.shape[1:], self.strides[1:], shape[1:])
        return self._view(shape, (self.strides[0], *free))

    def rearrange(self, src_pattern, dst_pattern, fixed_sizes: dict[str, int] | None = None) -> "NkiTensor":
        result, names = self, []
        for entry in src_pattern:
            group = (entry,) if isinstance(entry, str) else tuple(entry)
            sizes = [(fixed_sizes or {}).get(name, -1) for name in group]
            place = len(names)
            result = result if len(group) == 1 else result.reshape_dim(place, sizes)
            names += group
        groups = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in dst_pattern]
        result = result.permute([names.index(name) for group in groups for name in group])
        for dim, group in enumerate(groups):
            result = result if len(group) == 1 else result.flatten_dims(dim, dim + len(group) - 1)
        return result

    def view(self, dtype: str) -> "NkiTensor":
        old, new = numpy_dtype(self.dtype).itemsize, numpy_dtype(dtype).itemsize
        if self.is_indirect() or (self.shape[-1] > 1 and self.strides[-1] != 1):
            fail("view", "view: the last dimension is contiguous and the view not indirect")
        scaled = [self.offset * old, self.shape[-1] * old, *(s * old for s in self.strides[:-1])]
        if any(n % new for n in scaled):
            fail("view", f"view: {self.shape} of {self.dtype} cannot be read as {dtype}")
        offset, last, *strides = (n // new for n in scaled)
        return self._view((*self.shape[:-1], last), (*strides, 1), offset, dtype)

    reinterpret_cast = view

    def select(self, dim: int, index: Any) -> "NkiTensor":
        if isinstance(index, int):
            key = (slice(None),) * dim + (index,)
            return self[key]
        self._keep_partitions(dim, "select") if self.storage.on_chip else None
        shape, strides = _views.put(self.shape, dim, ()), _views.put(self.strides, dim, ())
        return self._indirect(shape, strides, self.offset, self.dtype, index, False, dim)

    def vector_select(self, dim: int, vector_offset: "NkiTensor") -> "NkiTensor":
        shape = (vector_offset.shape[0], *self.shape[1:])
        return self._indirect(shape, self.strides, self.offset, self.dtype, vector_offset, True, dim)

    def ap(
        self,
        pattern: Sequence[Sequence[int]],
        offset: int | None = None,
        scalar_offset: Any = None,
        vector_offset: "NkiTensor | None" = None,
        indirect_dim: int = 0,
        dtype: str | None = None,
    ) -> "NkiTensor":
        """An access pattern over the storage: `pattern` is [[stride, size], ...], in elements of `dtype`."""
        if offset is not None and self.offset != 0:
            fail("ap-base", f"ap with offset {offset} on a view that starts at element {self.offset}")
        shape, strides = [int(size) for _, size in pattern], [int(stride) for stride, _ in pattern]
        place = self.offset if offset is None else offset
        if offset is None and dtype is not None:
            place = place * numpy_dtype(self.dtype).itemsize // numpy_dtype(dtype).itemsize
        kind = dtype or self.dtype
        if scalar_offset is None and vector_offset is None:
            return NkiTensor(self.storage, shape, strides, place, kind)
        if scalar_offset is not None and vector_offset is not None:
            fail("indirect", "scalar_offset and vector_offset exclude each other")
        index = vector_offset if scalar_offset is None else scalar_offset
        return self._indirect(shape, strides, place, kind, index, scalar_offset is None, indirect_dim)

    def _indirect(self, shape, strides, offset: int, dtype: str, index: Any, vector: bool, dim: int) -> "NkiTensor":
        if self.is_indirect():
            fail("indirect", "an indirect view is indexed again")
        if not isinstance(dim, int) or not 0 <= dim < self.ndim:
            fail("indirect", f"indirect_dim {dim} of {self.ndim} dimensions")
        if isinstance(index, NkiTensor):
            if index.buffer is not MemoryRegion.sbuf or index.dtype not in ("int32", "uint32"):
                fail("indirect", f"the index {index} is not an int32 or uint32 tensor in SBUF")
            # dma_transpose documents an index of [P, N]; dma_copy [P, 1].
            if not vector and index.size != 1:
                fail("indirect", f"scalar_offset is {index.shape}, not [1, 1]")
        elif vector or not hasattr(index, "read_register"):
            fail("indirect", f"the index is {index!r}")
        if vector and (dim != 0 or self.storage.on_chip):
            fail("indirect", "vector_offset needs indirect_dim 0 and a tensor in HBM")
        if vector and strides[0] != self.strides[0]:
            fail("indirect-stride", f"the pattern steps by {strides[0]}, an index by {self.strides[0]} elements")
        if not vector and self.storage.on_chip and dim == 0:
            fail("indirect", "a run-time index cannot select partitions")
        access = Indirect(index, vector, self.strides[dim], self.shape[dim])
        return NkiTensor(self.storage, shape, strides, offset, dtype, access)

    # Reading and writing, for instructions

    def read(self, what: str) -> np.ndarray:
        """The elements; memory that was not written, or was overwritten, fails."""
        if self.indirect_access is not None:
            fail("indirect", f"{what} reads an indirect view, which is for DMA")
        place = self._bytes()
        values = self.storage.values(self.place[0], self.shape, self.place[1], self.dtype)
        if _machine.poisoning():
            return _poison(values, self.storage.written(*place))
        self.storage.check_readable(*place, what)
        return values

    def read_float(self, what: str) -> np.ndarray:
        """The elements as float32, [partitions, elements a partition]."""
        values = self.read(what)
        values = values if values.dtype == np.float32 else values.astype(np.float32)
        return values.reshape(self.shape[0], -1)

    def write(self, values: np.ndarray, what: str, by_matmul: bool = False) -> None:
        """Store `values`, converted to the view's dtype; any shape with as many elements."""
        if self.indirect_access is not None:
            fail("indirect", f"{what} writes an indirect view, which is for DMA")
        if any(stride == 0 and size > 1 for stride, size in zip(self.strides, self.shape)):
            fail("view", f"{what} writes a broadcast view")
        place = self._bytes()
        self.storage.values(self.place[0], self.shape, self.place[1], self.dtype)[...] = convert(
            np.asarray(values), self.dtype
        ).reshape(self.shape)
        self.storage.mark_written(*place, by_matmul)

    def _bytes(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        return self.place[0], self.shape, self.place[1], numpy_dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"a view {list(self.shape)} of {self.storage}"

    __repr__ = __str__


def _poison(values: np.ndarray, written: np.ndarray) -> np.ndarray:
    """`values` with all bits set (NaN, for floats) where nothing was written."""
    if written.all():
        return values
    values = values.copy()
    values[~written] = np.frombuffer(b"\xff" * values.itemsize, values.dtype)[0]
    return values


def check_buffer(buffer: object) -> MemoryRegion:
    """`buffer` as a memory region."""
    if not isinstance(buffer, MemoryRegion):
        fail("buffer", f"{buffer!r} is not one of nl.sbuf, nl.psum, nl.private_hbm, nl.shared_hbm")
        raise AssertionError
    return buffer


def check_shape(shape: Any, buffer: MemoryRegion) -> tuple[int, ...]:
    """`shape` as a tuple, within what `buffer` can hold."""
    if not isinstance(shape, (tuple, list)) or not shape or any(type(n) is not int or n <= 0 for n in shape):
        fail("shape", f"{shape!r} is not a shape of positive integers")
    if buffer in ON_CHIP and not 2 <= len(shape) <= 5:
        fail("shape", f"a tensor in {buffer.value} has 2 to 5 dimensions, not {len(shape)}")
    if buffer in ON_CHIP and shape[0] > PARTITIONS:
        fail("partition-size", f"{shape[0]} partitions in {list(shape)}; there are {PARTITIONS}")
    return tuple(shape)


def trivial_strides(shape: Sequence[int]) -> list[int]:
    """Row-major strides."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]
