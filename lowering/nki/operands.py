"""Loads of Q, K and V in the form that the Tensor engine wants them: the contraction on the partitions."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, PSUM_BANK_BYTES, element_bytes, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.problem import Block, chunks, starts


def transpose(b: KernelBuilder, name: str, data: SSAValue, psum: SSAValue) -> SSAValue:
    """A tile [P, F] as [F, P] in SBUF, through the Tensor engine and a tile in PSUM that is large enough."""
    type = tile_of(data)
    turned = b.view(psum, (0, type.free_size), (0, type.partitions))
    b.add(nki.NcTransposeOp(turned, data))
    result = b.tile(name, [type.free_size, type.partitions], type.element_type)
    b.add(nki.TensorCopyOp(result, turned))
    return result


def load_queries(
    b: KernelBuilder, query: Access, block: Block, size: int, indices: Mapping[str, Sum]
) -> list[SSAValue]:
    """Q transposed, [k, rows] for each run of 128 of the head size."""
    element = tile_of(query.tensor).element_type
    q = b.tile("q_rows", [block.rows, size], element)
    b.add(nki.DmaCopyOp(q, query.view(b, [*block.dims(), ("k", size)], indices, lead=3)))
    psum = b.tile("q_psum", [min(size, PARTITIONS), block.rows], element, "psum")
    return [
        transpose(b, f"q_t{i or ''}", b.view(q, None, (start, part)), psum)
        for i, (start, part) in enumerate(chunks(size))
    ]


def load_keys(
    b: KernelBuilder, key: Access, size: int, indices: Mapping[str, Sum], n: Sum, keys: int
) -> list[SSAValue]:
    """
    K transposed, [k, keys] for each run of 128 of the head size, from key `n` on.

    K that lies transposed in memory is loaded as it is; of 2-byte types the DMA engines transpose it; else the Tensor
    engine does.
    """
    element = tile_of(key.tensor).element_type
    if key.stride("n") != 1 and element_bytes(element) != 2:
        return _transposed_keys(b, key, size, indices, n, keys)
    parts: list[SSAValue] = []
    for i, (start, part) in enumerate(chunks(size)):
        tile = b.tile(f"k_t{i or ''}", [part, keys], element)
        at = starts(indices, n=n, k=start)
        if key.stride("n") == 1:
            b.add(nki.DmaCopyOp(tile, key.view(b, [("k", part), ("n", keys)], at)))
        else:
            b.add(nki.DmaTransposeOp(tile, key.view(b, [("n", keys), ("k", part)], at)))
        parts.append(tile)
    return parts


def _transposed_keys(
    b: KernelBuilder, key: Access, size: int, indices: Mapping[str, Sum], n: Sum, keys: int
) -> list[SSAValue]:
    element = tile_of(key.tensor).element_type
    rows = load_rows(b, "k_rows", key, "k", size, indices, n, keys)
    parts: list[SSAValue] = []
    for i, (start, part) in enumerate(chunks(size)):
        tile = b.tile(f"k_t{i or ''}", [part, keys], element)
        bank = PSUM_BANK_BYTES // element_bytes(element)
        for first, run in chunks(keys, bank):
            psum = b.tile("k_t_psum", [part, run], element, "psum")
            for at, width in chunks(run):
                source = b.view(rows, (0, width), (first + at) // PARTITIONS, (start, part))
                b.add(nki.NcTransposeOp(b.view(psum, None, (at, width)), source))
            b.add(nki.TensorCopyOp(b.view(tile, None, (first, run)), psum))
        parts.append(tile)
    return parts


def load_rows(
    b: KernelBuilder,
    name: str,
    access: Access,
    dim: str,
    size: int,
    indices: Mapping[str, Sum],
    n: Sum,
    keys: int,
) -> SSAValue:
    """
    Rows of K or V, [128, keys / 128, size], with key n + t * 128 + p at partition p of tile t.

    `keys` is at most 128, or a multiple of 128.
    """
    partitions = min(keys, PARTITIONS)
    tiles = keys // partitions
    tile = b.tile(name, [partitions, tiles, size], tile_of(access.tensor).element_type)
    step = access.stride("n")
    pattern = [(step, partitions), (step * PARTITIONS, tiles), (access.stride(dim), size)]
    b.add(nki.DmaCopyOp(tile, b.ap(access.tensor, pattern, access.offset(starts(indices, n=n)))))
    return tile
