"""nki.language: dtypes, buffers, operators, tensors, programs."""

from contextlib import contextmanager
from typing import Any

import numpy as np
from nki import _machine, _wrappers
from nki._control import fori_loop, num_programs, program_id, program_ndim, while_loop
from nki._dtypes import NUMPY, dtype_name, numpy_dtype
from nki._objects import NKIObject
from nki._ops import OPS
from nki._rules import fail
from nki._storage import MemoryRegion, Storage
from nki._target import PARTITIONS, PSUM_BANK_BYTES, PSUM_BANKS, nc_version, target
from nki._tensor import DynamicSlice, NkiTensor, check_buffer, check_shape, trivial_strides

(
    bool_,
    int8,
    int16,
    int32,
    uint8,
    uint16,
    uint32,
    float16,
    float32,
    bfloat16,
    float8_e4m3,
    float8_e4m3fn,
    float8_e5m2,
) = NUMPY
# Packed and scale dtypes have names, for kernels that compare with them, and no tensors.
tfloat32, float8_e8m0fnu = "tfloat32", "float8_e8m0fnu"
float8_e5m2_x4, float8_e4m3fn_x4, float4_e2m1fn_x4 = "float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4"

sbuf, psum = MemoryRegion.sbuf, MemoryRegion.psum
private_hbm, shared_hbm = MemoryRegion.private_hbm, MemoryRegion.shared_hbm
hbm = private_hbm

globals().update({name: op for name, op in OPS.items()})
abs, copy, max, min, sum = OPS["abs"], OPS["copy"], _wrappers.max, _wrappers.min, _wrappers.sum
load, store, matmul, transpose = _wrappers.load, _wrappers.store, _wrappers.matmul, _wrappers.transpose
zeros, full, ones = _wrappers.zeros, _wrappers.full, _wrappers.ones


class _TileSize(NKIObject):
    """Sizes of the hardware."""

    pmax = PARTITIONS
    psum_fmax = psum_bank_fmax = PSUM_BANK_BYTES // 4
    psum_bank_fmax_bytes = PSUM_BANK_BYTES
    psum_num_banks = PSUM_BANKS
    gemm_stationary_fmax = 128

    @property
    def gemm_moving_fmax(self) -> int:
        return 512 if target().version < nc_version.gen4 else 4096

    @property
    def sbuf_size_bytes(self) -> int:
        return target().sbuf_bytes * PARTITIONS

    @property
    def sbuf_fmax_bytes(self) -> int:
        return target().sbuf_bytes

    total_available_sbuf_size = sbuf_fmax_bytes

    @property
    def sbuf_fmax(self) -> int:
        return target().sbuf_bytes // 4


tile_size = _TileSize()


def ndarray(shape: Any, dtype: str, buffer: Any = sbuf, name: str = "", address: Any = None) -> NkiTensor:
    """A new tensor, whose elements are undefined. `address` is (partition, byte in the partition)."""
    region = check_buffer(buffer)
    extents = check_shape(shape, region)
    numpy_dtype(dtype)
    run = _machine.core().run
    storage = None
    if region is shared_hbm:
        storage = run.shared_tensor(_machine.core(), lambda: Storage(extents, dtype, region, name or ""))
        if (storage.shape, storage.dtype) != (extents, dtype):
            fail("same-program", f"core 0 allocates {storage}, core 1 {list(extents)} {dtype}")
    else:
        storage = Storage(extents, dtype, region, name or "", address)
    return NkiTensor(storage, extents, trivial_strides(extents), 0, dtype)


def shared_constant(constant: np.ndarray) -> NkiTensor:
    """A tensor in shared HBM with the elements of a NumPy array."""
    array = np.asarray(constant)
    dtype = dtype_name(array.dtype)
    storage = Storage.of_array(array, dtype, shared_hbm, "constant")
    return NkiTensor(storage, array.shape, trivial_strides(array.shape), 0, dtype)


def ds(start: int, size: int) -> DynamicSlice:
    """A slice of `size` elements."""
    return DynamicSlice(start, size)


def is_hbm(buffer: Any) -> bool:
    return buffer in (private_hbm, shared_hbm)


def is_on_chip(buffer: Any) -> bool:
    return buffer in (sbuf, psum)


def is_psum(buffer: Any) -> bool:
    return buffer is psum


def is_sbuf(buffer: Any) -> bool:
    return buffer is sbuf


def affine_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """Python's range, under a deprecated name."""
    return range(start) if stop is None else range(start, stop, step)


sequential_range = static_range = affine_range


@contextmanager
def no_reorder():
    """Program order, which the model always keeps."""
    yield


def device_print(print_prefix: str, tensor: NkiTensor) -> None:
    """Print a tensor."""
    print(print_prefix, tensor.read("device_print"))


__all__ = ["NkiTensor", "fori_loop", "ndarray", "num_programs", "program_id", "program_ndim", "while_loop"]
