"""The Tensor engine: nc_matmul and nc_transpose (which the Vector engine has too)."""

from typing import Any

import numpy as np
from nki._enums import check_engine, engine, matmul_perf_mode, member
from nki._operands import begin, in_psum
from nki._rules import fail
from nki._target import PSUM_BANK_BYTES, nc_version, target
from nki._tensor import NkiTensor

_FP8 = ("float8_e4m3", "float8_e5m2", "float8_e4m3fn")
_OPERANDS = (*_FP8, "bfloat16", "float16", "float32")


def nc_matmul(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    is_stationary_onezero: bool = False,
    is_moving_onezero: bool = False,
    is_transpose: bool = False,
    accumulate: bool | None = None,
    tile_position: tuple[int, ...] = (),
    tile_size: tuple[int, ...] = (),
    perf_mode: matmul_perf_mode = matmul_perf_mode.none,
    name: str | None = None,
) -> None:
    """dst [M, N] (+)= stationary [K, M].T @ moving [K, N]; products and sums in float32."""
    begin("nc_matmul", dst, stationary, moving)
    member(perf_mode, matmul_perf_mode, "perf_mode of nc_matmul")
    if is_transpose or perf_mode is not matmul_perf_mode.none:
        fail("not-modelled", "nc_matmul with is_transpose or double_row")
    if in_psum(stationary) or in_psum(moving) or not in_psum(dst):
        fail("matmul-memory", f"stationary {stationary.buffer}, moving {moving.buffer}, dst {dst.buffer}")
    if accumulate is not None and not isinstance(accumulate, bool):
        fail("enum", f"accumulate is {accumulate!r}, not a bool or None")
    _check_dtypes(dst, stationary, moving)
    rows, columns = _tile(tile_position, tile_size)
    k, m, n = stationary.shape[0], stationary.free_size, moving.free_size
    if moving.shape[0] != k or k > rows:
        fail("matmul-contraction", f"{k} partitions against {moving.shape[0]}, at most {rows}")
    if m > columns:
        fail("matmul-stationary-size", f"{m} elements a partition in stationary, at most {columns}")
    limit = 512 if target().version < nc_version.gen4 else 8192 if dst.dtype == "bfloat16" else 4096
    if n > limit:
        fail("matmul-moving-size", f"{n} elements a partition in moving, at most {limit}")
    if (dst.shape[0], dst.free_size) != (m, n):
        fail("matmul-dst-shape", f"dst is {list(dst.shape)}, the product is [{m}, {n}]")
    _check_bank(dst)
    with np.errstate(all="ignore"):
        product = stationary.read_float("nc_matmul").T @ moving.read_float("nc_matmul")
    _accumulate(dst, product, accumulate)


def _check_dtypes(dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor) -> None:
    version = target().version
    pair = (stationary.dtype, moving.dtype)
    for dtype in pair:
        if dtype not in _OPERANDS or (dtype == "float8_e4m3fn" and version < nc_version.gen4):
            fail("matmul-dtype", f"an operand of {dtype} on {target().name}")
    if ("float32" in pair) and pair[0] != pair[1]:
        fail("matmul-mixed-fp32", f"{pair[0]} with {pair[1]}")
    if set(pair) == {"float8_e4m3", "float8_e4m3fn"}:
        fail("matmul-mixed-fp8", f"{pair[0]} with {pair[1]}")
    if dst.dtype != "float32" and not (dst.dtype == "bfloat16" and version >= nc_version.gen4):
        fail("matmul-dst-dtype", f"dst of {dst.dtype} on {target().name}")


def _tile(position: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, int]:
    if not position and not size:
        return 128, 128
    if len(position) != 2 or len(size) != 2:
        fail("matmul-tile", f"tile_position {position} and tile_size {size} come together, as pairs")
    for start, extent in zip(position, size):
        smallest = 64 if target().version < nc_version.gen3 else 32
        if extent not in (32, 64, 128) or extent < smallest or start % extent or start + extent > 128:
            fail("matmul-tile", f"tile_position {position} with tile_size {size}")
    return size[0], size[1]


def _check_bank(dst: NkiTensor) -> None:
    if target().version >= nc_version.gen4:
        return
    first = dst.place[0] % dst.storage.pitch if dst.storage.addressed else dst.place[0] % dst.storage.partition_bytes
    last = first + sum((size - 1) * stride for size, stride in zip(dst.shape[1:], dst.place[1][1:]))
    if first // PSUM_BANK_BYTES != last // PSUM_BANK_BYTES:
        fail("matmul-dst-bank", f"dst {dst} spans banks {first // PSUM_BANK_BYTES} to {last // PSUM_BANK_BYTES}")


def _accumulate(dst: NkiTensor, product: np.ndarray, accumulate: bool | None) -> None:
    place = dst._bytes()
    if accumulate is not False:
        started = dst.storage.initialised_by_matmul(*place)
        if accumulate and target().version >= nc_version.gen4:
            started = dst.storage.written(*place)
        if accumulate and not started.all():
            fail("matmul-accumulate", f"accumulate=True onto {dst}, which no matmul has initialised")
        if started.any():
            old = dst.storage.values(dst.place[0], dst.shape, dst.place[1], dst.dtype).astype(np.float32)
            product = product + np.where(started, old, 0).reshape(product.shape)
    dst.write(product, "nc_matmul", by_matmul=True)


def nc_transpose(dst: NkiTensor, data: NkiTensor, engine: engine = engine.unknown, name: str | None = None) -> None:
    """dst [F, P] = data [P, F].T; the Tensor engine if dst is in PSUM, else the Vector engine."""
    begin("nc_transpose", dst, data)
    _transpose(dst, data, engine)


def _transpose(dst: NkiTensor, data: NkiTensor, which: Any) -> None:
    check_engine(which, (engine.tensor, engine.vector), "nc_transpose")
    if which is engine.unknown:
        which = engine.tensor if in_psum(dst) else engine.vector
    if which is engine.tensor and (in_psum(data) or not in_psum(dst)):
        fail("transpose-memory", f"data in {data.buffer}, dst in {dst.buffer}")
    if dst.dtype != data.dtype:
        fail("transpose-dtype", f"{data.dtype} to {dst.dtype}")
    limit = 128 if which is engine.tensor else 32
    if max(data.shape[0], data.free_size) > limit:
        fail("transpose-size", f"[{data.shape[0]}, {data.free_size}] on {which}, at most [{limit}, {limit}]")
    if (dst.shape[0], dst.free_size) != (data.free_size, data.shape[0]):
        fail("operand-shape", f"nc_transpose of {list(data.shape)} to {list(dst.shape)}")
    values = data.read("nc_transpose").reshape(data.shape[0], -1)
    old = which is engine.tensor and target().version < nc_version.gen3
    if old and values.dtype.kind not in "iu" and not np.isfinite(values.astype(np.float32)).all():
        fail("transpose-finite", f"the Tensor engine of trn1 transposes {data}, which has NaN or Inf")
    dst.write(values.T, "nc_transpose")


__all__ = ["nc_matmul", "nc_transpose"]
