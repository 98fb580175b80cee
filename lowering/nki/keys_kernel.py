"""
Attention with keys on the partitions: a tile of logits is [128 keys, rows, tiles of keys].

    S^T = K Q^T      stationary K^T [k, 128 keys], moving Q^T [k, rows of a head], one product a tile of keys
    p   = exp(S^T - max)
    O^T = V^T p      stationary V [128 keys, d], moving p [128 keys, rows of a head], summed in PSUM over all keys

A decoding step has few rows, so tiles of one row a partition would leave most of the Vector and Scalar engines idle.
Here their instructions run on 128 partitions, over the rows of several heads and sequences and all tiles of keys at
once: an element a partition is 128 logits. All logits of a block of rows stay in SBUF, so the maximum is known before
any exponential is taken, and nothing is rescaled; the maximum and the sum over partitions are taken once a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import FP32_MIN, HARDWARE, PARTITIONS, tile_of
from flashlower.lowering.nki.blocks import Block, largest_divisor
from flashlower.lowering.nki.builder import Dim, KernelBuilder, Sum, groups
from flashlower.lowering.nki.grid import MASKED, ZERO, Elementwise, Grid, Index, Value
from flashlower.lowering.nki.lengths import existing_by_pair, existing_keys
from flashlower.lowering.nki.operands import KeysAndValues, Scratch, load_queries
from flashlower.lowering.nki.problem import Outputs, Problem, chunks, column
from flashlower.lowering.nki.rows import bounded_maximum, load_sinks, sink_weights, store_rows
from flashlower.lowering.nki.score import ScoreLowering

MATMUL_COLUMNS = 512
"""f32 columns of a bank of PSUM."""

EXP_BY_ROW = 64
"""From so many tiles of keys on, an instruction a row costs less than taking the maximum off in a pass of its own."""


class KeysTiles:
    """What blocks of any size use: PSUM has no room for tiles of each."""

    def __init__(self, b: KernelBuilder, problem: Problem, keys: int):
        """For runs of at most so many keys."""
        self.scratch = Scratch(b)
        self.key_values = KeysAndValues(b, problem)
        # Of one tile, weights are summed over partitions as they are, of more their sums over tiles.
        self.one_tile = keys <= PARTITIONS
        self.ones = b.filled("ones", [PARTITIONS, 1], 1.0, problem.weight_type if self.one_tile else f32)


class KeysKernel:
    """Emits one block of rows over one run of keys."""

    def __init__(
        self, b: KernelBuilder, problem: Problem, outputs: Outputs, block: Block, step: int, shared: KeysTiles
    ):
        self.load_tiles = step // PARTITIONS
        self.b = b
        self.problem = problem
        self.outputs = outputs
        self.block = block
        self.sizes = problem.sizes
        self.scratch, self.key_values = shared.scratch, shared.key_values
        self.psum = self.scratch.psum
        self.one_tile, self.ones = shared.one_tile, shared.ones
        # The Tensor engine of trn1 does not transpose infinities.
        self.transposes_finite = HARDWARE[b.kernel.target.data].generation < 3

    def emit(self, indices: Mapping[str, Sum], n: Sum, keys: int, more: Mapping[str, Sum] | None = None) -> None:
        """
        The rows from `indices` over `keys` keys from `n` on; `more` are further indices of the results.
        """
        b, block = self.b, self.block
        tiles = -(-keys // PARTITIONS)
        # Of a single tile only the partitions that have keys.
        self.partitions = min(keys, PARTITIONS)
        scores = b.tile("scores", [self.partitions, *block.shape, tiles])
        rest = keys % self.partitions
        if rest:
            filler = 0.0 if self.problem.op.score.blocks else MASKED
            b.add(nki.MemsetOp(self._tiles(scores, tiles - 1, 1), filler))
        queries = load_queries(b, self.scratch, self.problem.query, block, self.sizes["k"], indices)
        elementwise = Elementwise(b, self._grid(indices, n, tiles))
        absent = self.absent = self._absent_keys(elementwise, indices, n, keys)
        self.clearing = self.key_values.clearing(None if absent is None else absent.tile)
        b.comment("S^T = scale * K Q^T, a tile of 128 keys a product.")
        sequences, heads = self._pairs_of_bank(tiles)
        names = ("sequence" if sequences == 1 else "first_sequence", "head" if heads == 1 else "first_head")
        with (
            b.loop(names[0], block.sequences, step=sequences) as sequence,
            b.loop(names[1], block.heads, step=heads) as head,
        ):
            self._score_pairs(queries, scores, indices, (sequence, head), (sequences, heads), n, keys)

        b.comment("The score function, on all logits at once." if self.problem.op.score.blocks else "Absent keys.")
        lowering = self._score_lowering(elementwise, tiles, rest)
        logits = lowering.apply(Value(scores, elementwise.grid.everywhere))
        if rest and self.problem.op.score.blocks:
            last = self._tiles(logits.tile, tiles - 1, 1)
            pattern = [(0, block.rows)]
            b.add(nki.AffineSelectOp(last, last, MASKED, "greater_equal", pattern, rest - 1, -1))
        if absent is not None:
            target = elementwise.spread(absent, elementwise.grid.everywhere)
            b.add(nki.TensorCopyPredicatedOp(logits.tile, MASKED, target))

        b.comment("The maximum of every row: over tiles of keys, then over partitions.")
        negated, sink = self._negated_maximum(logits.tile, indices)
        b.comment("p = exp(S^T - max), and its sum over keys.")
        weights, total = self._exponentials(logits.tile, negated, tiles)
        if sink is not None or self.outputs.sum is not None:
            copied = column(b, "row_sum", block.rows)
            if sink is None:
                b.add(nki.TensorCopyOp(copied, total))
            else:
                b.add(nki.TensorTensorOp(copied, total, sink_weights(b, sink, negated, negated=True), "add"))
            total = copied
        sums = self._weighted_values(weights, indices, n, keys)
        b.comment("Normalise, and store.")
        at, parts, bounded = {**indices, **(more or {})}, self._turned(sums), self.transposes_finite
        store_rows(b, self.outputs, block, at, negated, total, self.sizes["d"], parts, negated=True, bounded=bounded)

    # Logits.

    def _tiles(self, tile: SSAValue, first: Sum | int, count: int, partitions: int | None = None) -> SSAValue:
        """Some tiles of keys of a tile of logits."""
        rows = [None] * (len(tile_of(tile).shape) - 2)
        return self.b.view(tile, (0, partitions or self.partitions), *rows, (first, count))

    def _pair(self, tile: SSAValue, sequence: Sum, head: Sum) -> list[Dim]:
        """The indices of the rows of one pair in a tile [partitions, rows..., tiles]."""
        several = len(tile_of(tile).shape) == len(self.block.shape) + 2 and self.block.sequences > 1
        return [*([sequence] if several else []), (head * self.block.group, self.block.group), None]

    def _grid(self, indices: Mapping[str, Sum], n: Sum, tiles: int) -> Grid:
        block = self.block
        first_head = indices["h"] * self.sizes["g"] + indices["g"]
        sequences = [{block.batch_dim: 1}] if block.sequences > 1 else []
        return Grid(
            self.partitions,
            (*block.shape, tiles),
            {"n": 1},
            (*sequences, {"hq": 1}, {"m": 1}, {"n": PARTITIONS}),
            {**indices, "hq": first_head, "n": n},
        )

    def _pairs_of_bank(self, tiles: int) -> tuple[int, int]:
        """The sequences and the heads whose logits of all keys lie in one bank of PSUM; 1 of each where they do not."""
        block = self.block
        room = max(MATMUL_COLUMNS // (block.rows_of_head * tiles), 1)
        if room < block.heads:
            return 1, largest_divisor(block.heads, room)
        return largest_divisor(block.sequences, room // block.heads), block.heads

    def _score_pairs(
        self,
        queries: list[SSAValue],
        scores: SSAValue,
        indices: Mapping[str, Sum],
        first: tuple[Sum, Sum],
        count: tuple[int, int],
        n: Sum,
        keys: int,
    ) -> None:
        """Scaled products of some pairs, from a sequence and a head of the block on, a bank of PSUM at a time."""
        block, (sequences, heads) = self.block, count
        shape = [*([sequences] if sequences > 1 else []), heads * block.group, block.queries]

        def bank(start: Sum, tiles: int, partitions: int) -> None:
            b = self.b
            products = b.tile("products", [partitions, *shape, tiles], f32, "psum")
            with b.loop("sequence", sequences) as sequence, b.loop("head", heads) as head:
                self._products(products, queries, indices, first, (sequence, head), (n, start, tiles, partitions))
            rows: list[Dim] = [(first[1] * block.group, heads * block.group), None]
            if block.sequences > 1:
                rows.insert(0, (first[0], sequences) if sequences > 1 else first[0])
            target = b.view(scores, (0, partitions), *rows, (start, tiles))
            b.add(nki.ActivationOp(target, "copy", products, scale=self.problem.scale))

        tiles = -(-keys // PARTITIONS)
        alone = sequences * heads == 1
        group = max(min(MATMUL_COLUMNS // block.rows_of_head, 32), 1) if alone else tiles
        whole = keys // PARTITIONS
        groups(self.b, "bank", whole, min(group, max(whole, 1)), lambda at, size: bank(at, size, PARTITIONS))
        if keys % PARTITIONS:
            bank(Sum(whole), 1, keys % PARTITIONS)

    def _products(
        self,
        products: SSAValue,
        queries: list[SSAValue],
        indices: Mapping[str, Sum],
        first: tuple[Sum, Sum],
        place: tuple[Sum, Sum],
        run: tuple[Sum, Sum, int, int],
    ) -> None:
        """
        Products of one pair, at a place in the bank that begins with pair `first`.

        `run` is the first key of all, the first tile, how many there are, and the keys of each.
        """
        b, block, (n, tile, tiles, partitions) = self.b, self.block, run
        sequence, head = (start + i for start, i in zip(first, place, strict=True))
        at = block.pair(indices, sequence, head)
        row = (sequence * block.heads + head) * block.rows_of_head

        def load(start: Sum, count: int) -> None:
            clear = None
            if self.clearing is not None and self.key_values.clears_keys:
                clear = partial(self._clear, pair=(sequence, head), tile=tile + start, count=count, keys=partitions)
            width = (count - 1) * PARTITIONS + partitions
            key_parts = self.key_values.keys(at, n, tile + start, width, clear)
            with b.loop("j", count) as j:
                for i, (key, query) in enumerate(zip(key_parts, queries, strict=True)):
                    q = b.ap(query, [(block.rows, tile_of(query).partitions), (1, block.rows_of_head)], row)
                    stationary = b.view(key, None, (j * PARTITIONS, partitions))
                    target = b.view(products, None, *self._pair(products, *place), start + j)
                    b.add(nki.NcMatmulOp(target, stationary, q, b.flag(i)))

        groups(b, "load", tiles, self.load_tiles, load)

    def _score_lowering(self, elementwise: Elementwise, tiles: int, rest: int) -> ScoreLowering:
        b, grid = self.b, elementwise.grid

        def load(value: Value, source: SSAValue, index: Index) -> None:
            steps, shape = grid.steps(index), grid.shape(value.axes)
            channel = grid.channel(index)
            if not (rest and channel):
                pattern = [(channel, self.partitions), *zip(steps, shape[1:], strict=True)]
                b.add(nki.DmaCopyOp(value.tile, b.ap(source, pattern, index.start)))
                return
            # Keys that do not exist are not read.
            b.add(nki.MemsetOp(value.tile, 0.0))
            last = shape[-1] - 1
            for partitions, first, count in ((PARTITIONS, 0, tiles - 1), (rest, tiles - 1, 1)):
                if count and (last or first == 0):
                    sizes = [*shape[1:-1], count]
                    pattern = [(channel, partitions), *zip(steps, sizes, strict=True)]
                    target = self._tiles(value.tile, first, count, partitions)
                    b.add(nki.DmaCopyOp(target, b.ap(source, pattern, index.start + first * steps[-1])))

        return ScoreLowering(self.problem.op, b, elementwise, self.problem.tensors, load)

    def _absent_keys(self, elementwise: Elementwise, indices: Mapping[str, Sum], n: Sum, keys: int) -> Value | None:
        """Where keys are from the length on, on the axes that lengths differ on and tiles; and loads of keys begin."""
        b, lens, block = self.b, self.problem.kv_lens, self.block
        if lens is not None and any(size > 1 and lens.stride(name) for name, size in block.dims()):
            existing, absent = existing_by_pair(b, self.problem, block, elementwise, keys)
            self.key_values.begin(indices, n, Sum(), keys, existing, block)
            return absent
        axes = (False,) * len(block.shape) + (True,)
        free = elementwise.grid.shape(axes)[1:]
        existing = existing_keys(b, self.problem, indices, n, keys, free, partitions=self.partitions)
        self.key_values.begin(indices, n, Sum(), keys, existing, block)
        return None if existing.absent is None else Value(existing.absent, axes)

    def _clear(
        self, values: SSAValue, pair: tuple[Sum, Sum], tile: Sum, count: int, keys: int, shift: Sum = ZERO
    ) -> None:
        """Sets rows of keys of a pair that do not exist to 0, in some tiles of K or V from `shift` on."""
        assert self.absent is not None and self.clearing is not None
        sequences, heads, _, tiles = [1, *tile_of(self.absent.tile).shape[1:]][-4:]
        at = tile
        if sequences > 1:
            at = at + pair[0] * (heads * tiles)
        if heads > 1:
            at = at + pair[1] * (self.block.group * tiles)
        self.clearing.clear(values, at, shift, keys, count)

    # Softmax.

    def _negated_maximum(self, logits: SSAValue, indices: Mapping[str, Sum]) -> tuple[SSAValue, SSAValue | None]:
        """The negative of the maximum of every row, [rows, 1], and the sinks where there are any."""
        b, block = self.b, self.block
        rows, partial = block.rows, logits
        if tile_of(logits).shape[-1] > 1:
            partial = b.tile("partition_max", [self.partitions, rows])
            b.add(nki.TensorReduceOp(partial, "maximum", logits, 1))
        if self.transposes_finite:
            bounded = b.tile("bounded_max", [self.partitions, rows]) if partial is logits else partial
            bounded_maximum(b, bounded, partial)
            partial = bounded
        turned = b.view(self.psum, (0, rows), (0, self.partitions))
        b.add(nki.NcTransposeOp(turned, partial))
        negated = column(b, "negated_max", rows)
        b.add(nki.TensorReduceOp(negated, "maximum", turned, 1, negate=True))
        if self.problem.sinks is None:
            return negated, None
        sink = load_sinks(b, self.problem.sinks, block, indices)
        b.add(nki.ScalarTensorTensorOp(negated, sink, "multiply", -1.0, "minimum", negated))
        return negated, sink

    def _exponentials(self, logits: SSAValue, negated: SSAValue, tiles: int) -> tuple[SSAValue, SSAValue]:
        """exp(s - max) in the type of the second product, and its sum over keys, [rows, 1] in PSUM."""
        b, rows = self.b, self.block.rows
        shape = tile_of(logits).shape
        element = self.problem.weight_type
        weights = logits if element == f32 else b.tile("weights", shape, element)
        # A column for every row, of the same number on all partitions.
        spread = b.add(nki.ApOp(negated, [(1, rows), (0, self.partitions)])).result
        added = b.view(self.psum, (0, self.partitions), (0, rows))
        b.add(nki.NcTransposeOp(added, spread))
        partial = weights if self.one_tile else b.tile("partition_sum", [self.partitions, rows])
        if tiles >= EXP_BY_ROW:
            minus = b.tile("minus_max", [self.partitions, rows])
            b.add(nki.TensorScalarOp(minus, added, "minimum", -FP32_MIN))
            with b.loop("row", rows) as row:
                pattern = [(rows * tiles, self.partitions), (1, tiles)]
                b.add(
                    nki.ActivationOp(
                        b.ap(weights, pattern, row * tiles),
                        "exp",
                        b.ap(logits, pattern, row * tiles),
                        bias=b.view(minus, None, (row, 1)),
                        reduce_res=b.view(partial, None, (row, 1)),
                    )
                )
        else:
            steps = [(prod(shape[i + 2 : -1]), size) for i, size in enumerate(shape[1:-1])]
            row_size = tile_of(self.psum).free_size
            minus = b.add(nki.ApOp(self.psum, [(row_size, self.partitions), *steps, (0, tiles)])).result
            # A maximum is at least the lowest finite f32: the logit of a masked key stays -inf.
            b.add(nki.ScalarTensorTensorOp(logits, minus, "minimum", -FP32_MIN, "add", logits))
            b.add(nki.ActivationOp(weights, "exp", logits))
            if not self.one_tile:
                b.add(nki.TensorReduceOp(partial, "add", weights, 1))
        sums = self.scratch.sums(rows)
        b.add(nki.NcMatmulOp(sums, partial, b.view(self.ones, (0, self.partitions)), b.flag(False)))
        return weights, sums

    # Values.

    def _weighted_values(self, weights: SSAValue, indices: Mapping[str, Sum], n: Sum, keys: int) -> list[SSAValue]:
        """O^T, [part, rows] in PSUM for each run of 128 of the head size of V."""
        b, block = self.b, self.block
        parts = chunks(self.sizes["d"])
        sums = [b.tile(f"out_t{i or ''}", [part, block.rows], f32, "psum") for i, (_, part) in enumerate(parts)]
        b.comment("O^T = V^T p, summed over keys in PSUM.")
        with b.loop("sequence", block.sequences) as sequence, b.loop("head", block.heads) as head:
            at = block.pair(indices, sequence, head)
            row = (sequence * block.heads + head) * block.rows_of_head

            def load(start: Sum, count: int, partitions: int = PARTITIONS) -> None:
                width = (count - 1) * PARTITIONS + partitions
                values, shift = self.key_values.values(at, n, start, width)
                if self.clearing is not None:
                    self._clear(values, (sequence, head), start, count, partitions, shift)
                with b.loop("j", count) as j:
                    tile = start + j
                    weight = b.view(weights, (0, partitions), *self._pair(weights, sequence, head), tile)
                    for (first, part), target in zip(parts, sums, strict=True):
                        value = b.view(values, (0, partitions), shift + j, (first, part))
                        rows = b.view(target, None, (row, block.rows_of_head))
                        b.add(nki.NcMatmulOp(rows, value, weight, b.flag(tile)))

            whole = keys // PARTITIONS
            groups(b, "load", whole, self.load_tiles, load)
            if keys % PARTITIONS:
                load(Sum(whole), 1, keys % PARTITIONS)
        return sums

    def _turned(self, sums: list[SSAValue]) -> Iterator[tuple[int, SSAValue]]:
        """O, [rows, part] with its start for each part, one after the other in one tile of PSUM."""
        b, rows = self.b, self.block.rows
        for (first, part), target in zip(chunks(self.sizes["d"]), sums, strict=True):
            copied = b.tile("out_t_rows", [part, rows])
            b.add(nki.TensorCopyOp(copied, target))
            turned = b.view(self.psum, (0, rows), (0, part))
            b.add(nki.NcTransposeOp(turned, copied))
            yield first, turned
