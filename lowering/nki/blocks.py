"""How the rows of an attention operation are cut into blocks, and the loops over all of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.dialects.nki.types import PARTITIONS
from flashlower.lowering.nki.builder import KernelBuilder, Sum


@dataclass(frozen=True)
class Block:
    """
    The rows of one tile: `heads` KV heads, of each `group` query heads, of each `queries` queries.

    More than one KV head comes only with whole groups and all queries, and several sequences, entries of `batch_dim`,
    only with all KV heads that a core has. A pair is a sequence and a KV head, which have K and V of their own.
    """

    heads: int
    group: int
    queries: int
    sequences: int = 1
    batch_dim: str = ""

    @property
    def rows(self) -> int:
        return self.sequences * self.heads * self.rows_of_head

    @property
    def rows_of_head(self) -> int:
        return self.group * self.queries

    @property
    def query_heads(self) -> int:
        return self.heads * self.group

    @property
    def shape(self) -> list[int]:
        """The free dimensions of the rows in a tile of logits: sequences if there are several, query heads, queries."""
        return [*([self.sequences] if self.sequences > 1 else []), self.query_heads, self.queries]

    def dims(self) -> list[tuple[str, int]]:
        """The dimensions of the rows, in the order in which they are numbered."""
        sequences = [(self.batch_dim, self.sequences)] if self.sequences > 1 else []
        return [*sequences, ("h", self.heads), ("g", self.group), ("m", self.queries)]

    def width(self, name: str) -> int:
        """Entries of a dimension in a block."""
        return dict(self.dims()).get(name, 1)

    def pair(self, indices: Mapping[str, Sum], sequence: Sum, head: Sum) -> dict[str, Sum]:
        """The indices of one pair of the block that begins at `indices`."""
        found = {**indices, "h": indices["h"] + head}
        if self.sequences > 1:
            found[self.batch_dim] = indices[self.batch_dim] + sequence
        return found


def largest_divisor(value: int, limit: int) -> int:
    """The largest divisor of a number that is not above a limit; 1 at least."""
    return next((d for d in range(min(value, limit), 0, -1) if value % d == 0), 1)


def even_part(value: int, limit: int) -> int:
    """The least size of which as few parts cover a number as of the limit."""
    parts = -(-value // max(limit, 1))
    return -(-value // parts)


def choose_block(sizes: Mapping[str, int], limit: int, cores: int, *, pack: bool = True, sequences: int = 1) -> Block:
    """
    The rows of a tile: as many as the limit allows.

    Query heads of one KV head first, so that K and V are loaded once for them, then queries, then further KV heads,
    of which each core gets as many where there are enough, then up to so many sequences.
    """
    limit = min(limit, PARTITIONS)
    group = largest_divisor(sizes["g"], limit)
    queries = even_part(sizes["m"], limit // group) if group == sizes["g"] else 1
    heads = 1
    if pack and group == sizes["g"] and queries == sizes["m"]:
        batch = 1
        for name, size in sizes.items():
            batch *= size if name not in INNER_DIMS else 1
        available = sizes["h"] // cores if batch < cores and sizes["h"] % cores == 0 else sizes["h"]
        heads = largest_divisor(available, limit // (group * queries))
        while sizes["h"] % heads:
            heads -= 1
    block = Block(heads, group, queries)
    return _with_sequences(block, sizes, min(limit // block.rows, sequences), cores) if heads == sizes["h"] else block


def _with_sequences(block: Block, sizes: Mapping[str, int], limit: int, cores: int) -> Block:
    """The block with up to so many sequences, of the innermost batch dimension that has several."""
    dims = [(name, size) for name, size in sizes.items() if name not in INNER_DIMS and size > 1]
    whole = block.group == sizes["g"] and block.queries == sizes["m"]
    if not (dims and whole and limit > 1):
        return block
    if cores > 1 and len(dims) == 1:
        # `choose_parts` shares them out where there are enough.
        return block
    name, size = dims[-1]
    return replace(block, sequences=even_part(size, limit), batch_dim=name)


def choose_row_block(sizes: Mapping[str, int], limit: int) -> Block:
    """The rows of a tile with rows on the partitions: the query heads of a group, or queries of one head."""
    if sizes["m"] == 1:
        return Block(1, largest_divisor(sizes["g"], limit), 1)
    return Block(1, 1, even_part(sizes["m"], limit))


@contextmanager
def block_loops(
    b: KernelBuilder,
    sizes: Mapping[str, int],
    block: Block,
    cores: int,
    stage: Callable[[Mapping[str, Sum]], None] | None = None,
    scope: str | None = None,
    owner: tuple[str, int] | None = None,
) -> Generator[dict[str, Sum]]:
    """
    Loops over all blocks, shared out over the cores; gives the starts of a block: batch dimensions, h, g and m.

    The last block of queries may overlap the one before: its rows are computed twice, and are the same. `stage` is
    called inside of the loops over batch dimensions and KV heads, before those over blocks of one head. The loop over
    dimension `scope` is there even if it runs once, so that its tiles live only in it. Of the two cores, only the
    `owner`, after the name of a dimension, runs the loop over that dimension.
    """
    counts = block_counts(sizes, block)
    overlaps = sizes["m"] % block.queries > 0

    def largest_share(name: str) -> float:
        count = counts[name]
        first = _first_share(count) if name == "m" and overlaps else -(-count // cores)
        return max(first, count - first) * cores / count

    shared = None
    if cores > 1:
        # The dimension whose halves differ least.
        shared = min(counts, key=lambda name: (largest_share(name), -counts[name]))
    indices: dict[str, Sum] = {}
    with ExitStack() as stack:
        for name, count in counts.items():
            if name == "g" and stage is not None:
                stage({**indices, "g": Sum(), "m": Sum()})
            width = block.width(name)
            label = f"{name}_block" if width > 1 else name
            if name == shared == "m" and overlaps:
                # The last two blocks write the same rows, so one core has them both.
                core, first = b.program_id(), _first_share(count)
                end = core * (count - first) + first
                counter = stack.enter_context(b.loop(label, end, start=core * first))
            elif owner is not None and name == owner[0]:
                b.comment(f"Of core {owner[1]} alone.")
                core = b.program_id()
                start = core * count if owner[1] == 0 else core * -count + count
                counter = stack.enter_context(b.loop(label, count, start=start))
            elif name == shared:
                core = b.program_id()
                counter = stack.enter_context(b.loop(label, count, start=core, step=cores))
            else:
                counter = stack.enter_context(b.loop(label, count, keep=name == scope))
            start = counter * width
            if name == "m" and sizes["m"] % width:
                start = b.minimum(start, sizes["m"] - width, "first_query")
            indices[name] = start
        yield indices


def _first_share(count: int) -> int:
    """Of so many blocks, those of the first of two cores, if the last two stay together."""
    return -(-count // 2) if count >= 4 else {3: 1}.get(count, count)


def block_counts(sizes: Mapping[str, int], block: Block) -> dict[str, int]:
    """How many blocks there are along each dimension of the loops."""
    names = [*(name for name in sizes if name not in INNER_DIMS), "h", "g", "m"]
    return {name: -(-sizes[name] // block.width(name)) for name in names}


@dataclass(frozen=True)
class Part:
    """Blocks of one size, and the part of the iteration space that they cover."""

    block: Block
    sizes: Mapping[str, int]
    """The sizes that the loops run over."""
    first: Mapping[str, int] = field(default_factory=dict[str, int])
    """Where these begin, if not at 0."""
    scope: str | None = None
    """The dimension along which there are other parts, for whose tiles PSUM has no room beside these."""
    apart: Mapping[str, int] = field(default_factory=dict[str, int])
    """How far one core's share begins after the other's, where these are the blocks of every core."""
    owner: tuple[str, int] | None = None
    """The one core that has these blocks, after the dimension that the cores share out."""

    @contextmanager
    def loops(
        self, b: KernelBuilder, cores: int, stage: Callable[[Mapping[str, Sum]], None] | None = None
    ) -> Generator[dict[str, Sum]]:
        """`block_loops` over this part."""
        if self.owner is not None or self.apart:
            cores = 1
        with block_loops(b, self.sizes, self.block, cores, stage, self.scope, self.owner) as indices:
            found = {name: index + self.first.get(name, 0) for name, index in indices.items()}
            for name, distance in self.apart.items():
                found[name] = found[name] + b.program_id() * distance
            yield found


def choose_parts(
    sizes: Mapping[str, int], limit: int, cores: int, *, pack: bool = True, sequences: int = 1
) -> list[Part]:
    """
    All of an operation, in blocks of as many rows as the limit allows.

    Two cores whose tiles have several sequences or heads get even shares of them, each cut into tiles of its own: one
    tile less for a core than blocks of one size would take, and no core with nothing to do.
    """
    if cores == 2 and (name := _shared_dim(sizes)) is not None:
        shares = [sizes[name] - sizes[name] // 2, sizes[name] // 2]
        of_core = [{**sizes, name: share} for share in shares]
        found = [_parts(own, choose_block(own, limit, 1, pack=pack, sequences=sequences)) for own in of_core]
        if found[0][0].block.sequences * found[0][0].block.heads > 1:
            if shares[0] == shares[1]:
                return [replace(part, apart={name: shares[0]}) for part in found[0]]
            late = [replace(part, first={**part.first, name: part.first.get(name, 0) + shares[0]}) for part in found[1]]
            return [
                replace(part, scope=name, owner=(name, core))
                for core, parts in enumerate((found[0], late))
                for part in parts
            ]
    return _parts(sizes, choose_block(sizes, limit, cores, pack=pack, sequences=sequences))


def _shared_dim(sizes: Mapping[str, int]) -> str | None:
    """
    The sequences or the KV heads, whichever two cores share more evenly; None where there is one of both, or several
    batch dimensions, of which cores share the outer ones.
    """
    batch = [name for name, size in sizes.items() if name not in INNER_DIMS and size > 1]
    names = [*batch, "h"] if len(batch) < 2 else []
    return min(
        (name for name in names if sizes[name] > 1), key=lambda name: sizes[name] % 2 / sizes[name], default=None
    )


def _parts(sizes: Mapping[str, int], block: Block) -> list[Part]:
    """The sequences in whole blocks, and those that are left in a block of their own."""
    if block.sequences == 1 or not (rest := sizes[block.batch_dim] % block.sequences):
        return [Part(block, sizes)]
    dim = block.batch_dim
    whole = sizes[dim] - rest
    last = replace(block, sequences=rest)
    return [Part(block, {**sizes, dim: whole}, scope=dim), Part(last, {**sizes, dim: rest}, {dim: whole}, dim)]
