"""Q, K and V on chip, in the form that the Tensor engine wants them: the contraction on the partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS, PSUM_BANK_BYTES, element_bytes, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.problem import Block, Problem, chunks, starts

STAGED_BYTES = 80 * 1024
"""Bytes of a partition that K and V of one head may take, where several blocks of rows read them."""


Clear = Callable[[SSAValue], None]


class Scratch:
    """One tile of PSUM for every transposition to f32, and one for those of other types."""

    def __init__(self, b: KernelBuilder):
        self._b = b
        self.psum = b.tile("turned", [PARTITIONS, PARTITIONS], f32, "psum")

    def transpose(self, name: str, data: SSAValue, psum: SSAValue | None = None) -> SSAValue:
        """A tile [P, F] as [F, P] in SBUF, through the Tensor engine."""
        b, type = self._b, tile_of(data)
        turned = b.view(psum or self.psum, (0, type.free_size), (0, type.partitions))
        b.add(nki.NcTransposeOp(turned, data))
        result = b.tile(name, [type.free_size, type.partitions], type.element_type)
        b.add(nki.TensorCopyOp(result, turned))
        return result


def load_queries(
    b: KernelBuilder, scratch: Scratch, query: Access, block: Block, size: int, indices: Mapping[str, Sum]
) -> list[SSAValue]:
    """Q transposed, [k, rows] for each run of 128 of the head size."""
    element = tile_of(query.tensor).element_type
    q = b.tile("q_rows", [block.rows, size], element)
    b.add(nki.DmaCopyOp(q, query.view(b, [*block.dims(), ("k", size)], indices, lead=3)))
    psum = None if element == f32 else b.tile("q_psum", [min(size, PARTITIONS), block.rows], element, "psum")
    return [
        scratch.transpose(f"q_t{i or ''}", b.view(q, None, (start, part)), psum)
        for i, (start, part) in enumerate(chunks(size))
    ]


class KeysAndValues:
    """
    K transposed and rows of V, a few tiles of keys at a time.

    `stage` keeps all keys of a head in SBUF, for several blocks of rows to read; otherwise they are loaded when they
    are asked for, once.
    """

    def __init__(self, b: KernelBuilder, problem: Problem):
        self._b = b
        self._problem = problem
        self._staged: tuple[list[SSAValue], list[SSAValue]] | None = None
        element = tile_of(problem.key.tensor).element_type
        self._psum: SSAValue | None = None
        if problem.key.stride("n") != 1 and element_bytes(element) != 2:
            shape = [min(problem.sizes["k"], PARTITIONS), PSUM_BANK_BYTES // element_bytes(element)]
            shape[1] = min(shape[1], 4 * PARTITIONS)
            self._psum = b.tile("k_psum", shape, element, "psum")

    def bytes_per_partition(self, keys: int) -> int:
        """What `stage` takes."""
        tiles = -(-keys // PARTITIONS)
        key, value = self._problem.key.tensor, self._problem.value.tensor
        key_bytes = len(chunks(self._problem.sizes["k"])) * PARTITIONS * element_bytes(tile_of(key).element_type)
        return tiles * (key_bytes + self._problem.sizes["d"] * element_bytes(tile_of(value).element_type))

    def stage(self, indices: Mapping[str, Sum], n: Sum, keys: int, *, group: int = 4) -> None:
        """Loads all keys of a head, `group` tiles at a time."""
        b, sizes = self._b, self._problem.sizes
        self._staged = None
        key_type = tile_of(self._problem.key.tensor).element_type
        value_type = tile_of(self._problem.value.tensor).element_type
        tiles, whole, rest = -(-keys // PARTITIONS), keys // PARTITIONS, keys % PARTITIONS
        key_parts = [b.tile(f"k_t{i or ''}", [part, keys], key_type) for i, (_, part) in enumerate(chunks(sizes["k"]))]
        values = b.tile("v_rows", [PARTITIONS, tiles, sizes["d"]], value_type)

        def load(first: Sum, count: int, partitions: int = PARTITIONS) -> None:
            width = (count - 1) * PARTITIONS + partitions
            at = n + first * PARTITIONS
            targets = [b.view(part, None, (first * PARTITIONS, width)) for part in key_parts]
            self._load_keys(targets, indices, at, width)
            self._load_values(b.view(values, (0, partitions), (first, count)), indices, at)

        if whole >= group:
            with b.loop("load", whole // group) as i:
                load(i * group, group)
        if whole % group:
            load(Sum(whole - whole % group), whole % group)
        if rest:
            load(Sum(whole), 1, rest)
        self._staged = (key_parts, [values])

    @property
    def transposes_on_tensor_engine(self) -> bool:
        """Whether K goes through the Tensor engine, whose transposition on trn1 spreads NaN."""
        return self._psum is not None

    def keys(
        self, indices: Mapping[str, Sum], n: Sum, tile: Sum, width: int, clear: Clear | None = None
    ) -> list[SSAValue]:
        """
        K transposed, [k, width] for each run of 128 of the head size, from a tile of keys on.

        `clear` sets rows of keys that do not exist to 0, in a tile [128, tiles, k], before they are transposed.
        """
        b = self._b
        if self._staged is not None:
            return [b.view(part, None, (tile * PARTITIONS, width)) for part in self._staged[0]]
        element = tile_of(self._problem.key.tensor).element_type
        parts = [
            b.tile(f"k_t{i or ''}", [part, width], element)
            for i, (_, part) in enumerate(chunks(self._problem.sizes["k"]))
        ]
        self._load_keys(parts, indices, n + tile * PARTITIONS, width, clear)
        return parts

    def values(self, indices: Mapping[str, Sum], n: Sum, tile: Sum, width: int) -> tuple[SSAValue, Sum]:
        """
        Rows of V, [128, tiles, d], with key t * 128 + p at partition p of tile t, and the first tile that is meant.

        `width` is at most 128, or a multiple of 128.
        """
        if self._staged is not None:
            return self._staged[1][0], tile
        partitions = min(width, PARTITIONS)
        element = tile_of(self._problem.value.tensor).element_type
        rows = self._b.tile("v_rows", [partitions, width // partitions, self._problem.sizes["d"]], element)
        self._load_values(rows, indices, n + tile * PARTITIONS)
        return rows, Sum()

    # Loads.

    def _load_values(self, target: SSAValue, indices: Mapping[str, Sum], n: Sum) -> None:
        value = self._problem.value
        self._b.add(nki.DmaCopyOp(target, self._rows(value, "d", tile_of(target).shape, indices, n)))

    def _rows(self, access: Access, dim: str, shape: tuple[int, ...], indices: Mapping[str, Sum], n: Sum) -> SSAValue:
        step = access.stride("n")
        partitions, tiles, size = shape
        pattern = [(step, partitions), (step * PARTITIONS, tiles), (access.stride(dim), size)]
        return self._b.ap(access.tensor, pattern, access.offset(starts(indices, n=n)))

    def _load_keys(
        self, targets: list[SSAValue], indices: Mapping[str, Sum], n: Sum, keys: int, clear: Clear | None = None
    ) -> None:
        """
        K that lies transposed in memory is loaded as it is; of 2-byte types the DMA engines transpose it; else the
        Tensor engine does.
        """
        b, key = self._b, self._problem.key
        if self._psum is not None:
            self._transpose_keys(targets, self._psum, indices, n, keys, clear)
            return
        for target, (start, part) in zip(targets, chunks(self._problem.sizes["k"]), strict=True):
            at = starts(indices, n=n, k=start)
            if key.stride("n") == 1:
                b.add(nki.DmaCopyOp(target, key.view(b, [("k", part), ("n", keys)], at)))
            else:
                source = b.add(
                    nki.ApOp(
                        key.tensor,
                        [(key.stride("n"), keys), (key.stride("k"), part)],
                        b.offset(key.offset(at)),
                    )
                ).result
                b.add(nki.DmaTransposeOp(target, source))

    def _transpose_keys(
        self,
        targets: list[SSAValue],
        psum: SSAValue,
        indices: Mapping[str, Sum],
        n: Sum,
        keys: int,
        clear: Clear | None,
    ) -> None:
        b, size = self._b, self._problem.sizes["k"]
        partitions = min(keys, PARTITIONS)
        shape = (partitions, keys // partitions, size)
        element = tile_of(self._problem.key.tensor).element_type
        rows = b.tile("k_rows", shape, element)
        b.add(nki.DmaCopyOp(rows, self._rows(self._problem.key, "k", shape, indices, n)))
        if clear is not None:
            clear(rows)
        for target, (start, part) in zip(targets, chunks(size), strict=True):
            for first, run in chunks(keys, tile_of(psum).shape[1]):
                for at, width in chunks(run):
                    source = b.view(rows, (0, width), (first + at) // PARTITIONS, (start, part))
                    b.add(nki.NcTransposeOp(b.view(psum, (0, part), (at, width)), source))
                b.add(nki.TensorCopyOp(b.view(target, None, (first, run)), b.view(psum, (0, part), (0, run))))
