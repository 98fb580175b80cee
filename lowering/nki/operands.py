"""Q, K and V on chip, in the form that the Tensor engine wants them: the contraction on the partitions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, PSUM_BANK_BYTES, element_bytes, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.gathered_pages import GatheredKeys, paged_keys
from flashlower.lowering.nki.lengths import Clearing, ExistingKeys, existing_keys
from flashlower.lowering.nki.problem import Problem, chunks, starts

STAGED_BYTES = 80 * 1024
"""Bytes of a partition that K and V of one head may take, where several blocks of rows read them."""

GATHERED_ROWS = 16
"""A DMA that gathers rows and transposes them takes a multiple of them."""

Clear = Callable[[SSAValue], None]


class Scratch:
    """One tile of PSUM for every transposition to f32, with a column of its own for sums; others for other types."""

    def __init__(self, b: KernelBuilder):
        self._b = b
        self.psum = b.tile("turned", [PARTITIONS, PARTITIONS + 1], f32, "psum")

    def sums(self, rows: int) -> SSAValue:
        """A column that no transposition writes."""
        return self._b.view(self.psum, (0, rows), (PARTITIONS, 1))

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
    dims = block.dims()
    b.add(nki.DmaCopyOp(q, query.view(b, [*dims, ("k", size)], indices, lead=len(dims))))
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
        self._paged = paged_keys(b, problem)
        self._psum: SSAValue | None = None

    def bytes_per_partition(self, keys: int) -> int:
        """What `stage` takes."""
        tiles = -(-keys // PARTITIONS)
        problem = self._problem
        key_bytes = len(chunks(problem.sizes["k"])) * PARTITIONS * element_bytes(problem.key_type)
        return tiles * (key_bytes + problem.sizes["d"] * element_bytes(problem.value_type))

    @property
    def clears_keys(self) -> bool:
        """Whether rows of K for keys that do not exist must be cleared: trn1's transposition spreads NaN."""
        key = self._problem.key
        turned = key.stride("n") != 1 and not self._dma_transposes(PARTITIONS)
        return turned and HARDWARE[self._b.kernel.target.data].generation < 3

    @property
    def clears_values(self) -> bool:
        """Whether those of V must be cleared; gathers leave them 0."""
        return not self._gathers(self._problem.value)

    def clearing(self, absent: SSAValue | None) -> Clearing | None:
        """What clears rows of keys that do not exist; None where there are none, or nothing is to be cleared."""
        if absent is None or not self.clears_values:
            return None
        problem = self._problem
        rows = [(problem.value_type, problem.sizes["d"])]
        if self.clears_keys:
            rows.append((tile_of(problem.key.tensor).element_type, problem.sizes["k"]))
        return Clearing(self._b, absent, rows)

    def _gathers(self, access: Access) -> bool:
        return access.is_paged and isinstance(self._paged, GatheredKeys)

    def _dma_transposes(self, keys: int) -> bool:
        """Whether a DMA can transpose K of so many keys: elements of 2 bytes, and of keys that it gathers whole 16."""
        key = self._problem.key
        if element_bytes(tile_of(key.tensor).element_type) != 2:
            return False
        return not key.is_paged or (self._gathers(key) and keys % GATHERED_ROWS == 0)

    def begin(
        self,
        indices: Mapping[str, Sum],
        n: Sum,
        first: Sum,
        keys: int,
        existing: ExistingKeys,
        block: Block | None = None,
    ) -> None:
        """
        What is asked for next are tiles from `first` on, of `keys` keys from key n on: of the sequences of a block, or
        of one sequence.
        """
        if self._paged is not None and self._staged is None:
            self._paged.begin(indices, n, first, keys, existing, block)

    def stage(self, indices: Mapping[str, Sum], n: Sum, keys: int, *, group: int = 4) -> None:
        """Loads all keys of a head, `group` tiles at a time."""
        b, sizes = self._b, self._problem.sizes
        self._staged = None
        key_type, value_type = self._problem.key_type, self._problem.value_type
        tiles, whole, rest = -(-keys // PARTITIONS), keys // PARTITIONS, keys % PARTITIONS
        key_parts = [b.tile(f"k_t{i or ''}", [part, keys], key_type) for i, (_, part) in enumerate(chunks(sizes["k"]))]
        values = b.tile("v_rows", [PARTITIONS, tiles, sizes["d"]], value_type)
        if self._paged is not None:
            existing = existing_keys(b, self._problem, indices, n, keys, [tiles], partitions=min(keys, PARTITIONS))
            self._paged.begin(indices, n, Sum(), keys, existing)

        def load(first: Sum, count: int, partitions: int = PARTITIONS) -> None:
            width = (count - 1) * PARTITIONS + partitions
            targets = [b.view(part, None, (first * PARTITIONS, width)) for part in key_parts]
            self._load_keys(targets, indices, n, first, width)
            self._load_values(b.view(values, (0, partitions), (first, count)), indices, n, first)

        if whole >= group:
            with b.loop("load", whole // group) as i:
                load(i * group, group)
        if whole % group:
            load(Sum(whole - whole % group), whole % group)
        if rest:
            load(Sum(whole), 1, rest)
        self._staged = (key_parts, [values])

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
        parts = [
            b.tile(f"k_t{i or ''}", [part, width], self._problem.key_type)
            for i, (_, part) in enumerate(chunks(self._problem.sizes["k"]))
        ]
        self._load_keys(parts, indices, n, tile, width, clear)
        return [b.view(part, None, (0, width)) for part in parts]

    def values(self, indices: Mapping[str, Sum], n: Sum, tile: Sum, width: int) -> tuple[SSAValue, Sum]:
        """
        Rows of V, [partitions, tiles, d], and the first tile meant. Key t * 128 + p is at partition p of tile t.

        `width` is at most 128, or a multiple of 128.
        """
        if self._staged is not None:
            return self._staged[1][0], tile
        partitions = min(width, PARTITIONS)
        shape = [partitions, width // partitions, self._problem.sizes["d"]]
        rows = self._b.tile("v_rows", shape, self._problem.value_type)
        self._load_values(rows, indices, n, tile)
        return rows, Sum()

    # Loads.

    def _load_values(self, target: SSAValue, indices: Mapping[str, Sum], n: Sum, tile: Sum) -> None:
        value = self._problem.value
        with self._as_stored(target, value, "v_stored") as stored:
            self._load_rows(stored, value, "d", indices, n, tile)

    @contextmanager
    def _as_stored(self, target: SSAValue, access: Access, name: str) -> Generator[SSAValue]:
        """A tile of the type in HBM, which is then converted to the type of a tile; the tile itself where it has it."""
        b, element = self._b, tile_of(access.tensor).element_type
        if tile_of(target).element_type == element:
            yield target
            return
        stored = b.tile(name, tile_of(target).shape, element)
        yield stored
        b.add(nki.TensorCopyOp(target, stored))

    def _load_rows(
        self, target: SSAValue, access: Access, dim: str, indices: Mapping[str, Sum], n: Sum, tile: Sum
    ) -> None:
        """Rows of K or V, [partitions, tiles, size], from a tile of keys on."""
        if access.is_paged and self._paged is not None:
            self._paged.load(target, access, dim, indices, tile)
            return
        step = access.stride("n")
        partitions, tiles, size = tile_of(target).shape
        pattern = [(step, partitions), (step * PARTITIONS, tiles), (access.stride(dim), size)]
        offset = access.offset(starts(indices, n=n + tile * PARTITIONS))
        self._b.add(nki.DmaCopyOp(target, self._b.ap(access.tensor, pattern, offset)))

    def _load_keys(
        self,
        targets: list[SSAValue],
        indices: Mapping[str, Sum],
        n: Sum,
        tile: Sum,
        keys: int,
        clear: Clear | None = None,
    ) -> None:
        """
        K that lies transposed in memory is loaded as it is; of 2-byte types the DMA engines transpose it; else the
        Tensor engine does.
        """
        b, key = self._b, self._problem.key
        if key.stride("n") != 1 and not self._dma_transposes(keys):
            self._transpose_keys(targets, indices, n, tile, keys, clear)
            return
        for target, (start, part) in zip(targets, chunks(self._problem.sizes["k"]), strict=True):
            at = starts(indices, n=n + tile * PARTITIONS, k=start)
            if key.is_paged and isinstance(self._paged, GatheredKeys):
                self._paged.load_transposed(target, key, (start, part), indices, tile)
            elif key.stride("n") == 1:
                with self._as_stored(target, key, "k_stored") as stored:
                    b.add(nki.DmaCopyOp(stored, key.view(b, [("k", part), ("n", keys)], at)))
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
        indices: Mapping[str, Sum],
        n: Sum,
        tile: Sum,
        keys: int,
        clear: Clear | None,
    ) -> None:
        b, size = self._b, self._problem.sizes["k"]
        key, partitions = self._problem.key, min(keys, PARTITIONS)
        element = tile_of(key.tensor).element_type
        rows = b.tile("k_rows", (partitions, keys // partitions, size), element)
        self._load_rows(rows, key, "k", indices, n, tile)
        if clear is not None:
            clear(rows)
        if self._psum is None:
            columns = min(PSUM_BANK_BYTES // element_bytes(element), 4 * PARTITIONS)
            self._psum = b.tile("k_psum", [min(size, PARTITIONS), columns], element, "psum", first=True)
        psum = self._psum
        for target, (start, part) in zip(targets, chunks(size), strict=True):
            for first, run in chunks(keys, tile_of(psum).shape[1]):
                width = min(run, PARTITIONS)
                with b.loop("j", -(-run // PARTITIONS)) as j:
                    source = b.view(rows, (0, width), j + first // PARTITIONS, (start, part))
                    b.add(nki.NcTransposeOp(b.view(psum, (0, part), (j * PARTITIONS, width)), source))
                b.add(nki.TensorCopyOp(b.view(target, None, (first, run)), b.view(psum, (0, part), (0, run))))
