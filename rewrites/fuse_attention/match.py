"""
The structure of attention: dot -> elementwise -> softmax -> dot, whatever layouts lie between.

Matching starts at the second dot. Every dimension of the probabilities becomes a variable; from there everything is
followed backwards as reads (see `access`). The softmax is found by `softmax`, what the score is by `score`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import Float64Type
from xdsl.ir import Operation, SSAValue

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.absorb import Operand, absorb
from flashlower.rewrites.fuse_attention.access import (
    Index,
    Indices,
    Read,
    Tracer,
    Var,
)
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.dequantise import DequantisationReader
from flashlower.rewrites.fuse_attention.expression import Const, Float, Logit, TensorRead
from flashlower.rewrites.fuse_attention.forward import forward_step, single_user
from flashlower.rewrites.fuse_attention.guards import GuardChecker
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.row_uses import RowUse, RowUseFinder, is_small
from flashlower.rewrites.fuse_attention.score import ScoreReader, is_elementwise
from flashlower.rewrites.fuse_attention.simplify import multiply
from flashlower.rewrites.fuse_attention.softmax import Softmax, SoftmaxFinder


@dataclass
class Group:
    """A candidate that is attention: its operands over the variables, and its score."""

    root: Read
    """The value that the group computes, of the second dot or of the late division, and what its elements are."""
    query: Operand
    key: Operand
    value: Operand
    score: Float
    sink: TensorRead | Const | None
    weight_factor: float
    """A constant that the result is multiplied with."""
    row_uses: list[RowUse]
    """Values that the graph computes from the LSE."""
    unused: list[Operation]
    """Operations on values of the group that nothing uses."""
    n: Var
    k: Var
    d: Var
    batch: list[Var]
    """Variables of the batching dimensions of the probabilities, in order."""
    rows: list[Var]
    """Variables of the other dimensions of the probabilities but the key, in order."""


class Matcher:
    """Matches one candidate: a stablehlo.dot_general whose operand `side` may hold probabilities."""

    def __init__(
        self,
        dot: Operation,
        side: int,
        folder: ConstantFolder,
        positions: Mapping[Operation, int],
        *,
        dequantises: bool = True,
    ):
        """
        `positions` has the place of every operation in its block. `dequantises`: K and V may be read as codes.
        """
        self.dequantises = dequantises
        self.has_codes = False
        """Whether K or V was found to be codes."""
        self.dot = dot
        self.side = side
        self.folder = folder
        self.positions = positions
        self.tracer = Tracer()
        self._set_variables()
        self.finder = SoftmaxFinder(self.tracer, folder, self.n)

    def _set_variables(self) -> None:
        dims = hlo.dot_dimensions(self.dot)
        side, other = self.side, 1 - self.side
        if len(dims.contracting[side]) != 1:
            count = len(dims.contracting[side])
            raise NotAttention(f"the second dot contracts {count} dimensions, not the keys alone")
        weights, value = self.dot.operands[side], self.dot.operands[other]
        weights_shape, value_shape = hlo.shape(weights), hlo.shape(value)
        if 0 in (*weights_shape, *value_shape):
            raise NotAttention("a tensor is empty")
        weights_indices = [Index()] * len(weights_shape)
        value_indices = [Index()] * len(value_shape)
        self.batch: list[Var] = []
        self.rows: list[Var] = []
        for i, (mine, theirs) in enumerate(zip(dims.batching[side], dims.batching[other])):
            self.batch.append(Var(weights_shape[mine], f"p{i}"))
            weights_indices[mine] = value_indices[theirs] = Index.of(self.batch[-1])
        contracted = dims.contracting[side][0]
        self.n = Var(weights_shape[contracted], "n")
        weights_indices[contracted] = value_indices[dims.contracting[other][0]] = Index.of(self.n)
        for i in dims.free(side, len(weights_shape)):
            self.rows.append(Var(weights_shape[i], f"r{i}"))
            weights_indices[i] = Index.of(self.rows[-1])
        free = dims.free(other, len(value_shape))
        if len(free) > 1:
            raise NotAttention(
                "the value has more than one dimension that is neither batch nor key; reshape them into one"
            )
        self.d = Var(value_shape[free[0]] if free else 1, "d")
        for i in free:
            value_indices[i] = Index.of(self.d)
        self.weights = Read(weights, tuple(weights_indices))
        self.value = Read(value, tuple(value_indices))
        rows = [Index.of(v) for v in self.rows]
        columns = [Index.of(self.d) for _ in free]
        outer = [*rows, *columns] if side == 0 else [*columns, *rows]
        self.dot_indices: Indices = (*(Index.of(v) for v in self.batch), *outer)

    def match(self) -> Group:
        """The group. Raises `NotAttention` with the reason where there is none."""
        softmax = self.finder.find(self.weights)
        dot_result = Read(self.dot.results[0], self.dot_indices)
        root = dot_result if softmax.probabilities else self._late_division(dot_result, softmax)
        self.finder.check_maximum(softmax)
        logit, first_dot, key_side = self._find_logit(softmax.scores)
        self._check_accumulators(first_dot, root)
        computed = self._computed_from(logit.value, root)
        if self.value.value in computed:
            raise NotAttention("the value is computed from the weights")
        query, key, k = self._first_dot_operands(first_dot, logit, key_side)
        q, key_operand, value = self._absorb(query, key, k, root)
        product = key_operand.scale(q.scale(Logit(q.factor * key_operand.factor)))
        reader = ScoreReader(self.n, self.tracer, self.folder, logit, product, computed)
        score = multiply(reader.float_expr(softmax.scores), Const(self._factor(softmax)))
        exponent = softmax.exponent
        if exponent.logarithms and not (exponent.is_stepwise and exponent.is_bounded) and not is_small(score):
            raise NotAttention(
                "the LSE is subtracted from scores that may be large, where its rounding loses the sum; subtract the "
                "maximum first"
            )
        checked = GuardChecker(softmax, self.finder.rows, reader, score).check()
        sink = self._sink(softmax, reader)
        outside = RowUseFinder(self.finder, softmax, checked, checked != score, self.dot, root.value, logit)
        if not self._is_closed(computed):
            outside.find()
        return Group(
            *(root, q, key_operand, value, checked, sink, softmax.weight_factor, outside.uses, outside.unused),
            *(self.n, k, self.d, self.batch, self.rows),
        )

    def _factor(self, softmax: Softmax) -> float:
        """The factor of the scores; 2 ** (x * log2(e)) has none, whatever the rounding of log2(e) is."""
        factor = softmax.exponent.factor
        in_f64 = isinstance(hlo.element_type(softmax.scores.value), Float64Type)
        return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-15 if in_f64 else 1e-7) else factor

    def _sink(self, softmax: Softmax, reader: ScoreReader) -> TensorRead | Const | None:
        if softmax.sink is None:
            return None
        read = softmax.sink.read
        if read is None:
            return Const(0.0)
        sink = None if read.value in reader.computed_from_logit else reader.float_expr(read)
        if not isinstance(sink, TensorRead | Const) or self._factor(softmax) != 1.0:
            raise NotAttention("the extra column of the softmax is not a tensor of sinks")
        return sink

    def _late_division(self, result: Read, softmax: Softmax) -> Read:
        """Follows the unnormalised result to the division by the row sum, or the product with its reciprocal."""
        while (user := single_user(result.value)) is not None:
            side = list(user.operands).index(result.value)
            if (user.name == "stablehlo.divide" and side == 0) or user.name == "stablehlo.multiply":
                after = Read(user.results[0], result.indices)
                division = self.finder.division(user, after)
                if division is None or division[0] != side:
                    break
                if any(index.uses(self.d) for index in division[1].indices):
                    raise NotAttention("the result is divided by more than a row sum")
                self.finder.check_sum(softmax, division[1])
                self.tracer.visited.add(user)
                return after
            step = forward_step(user, result.indices)
            if step is None:
                break
            self.tracer.visited.add(user)
            result = Read(user.results[0], step)
        raise NotAttention("the weights are not divided by their sum, neither before nor after the second dot")

    # The first dot

    def _find_logit(self, scores: Read) -> tuple[Read, Operation, int]:
        """The dot below the score one of whose operands varies with the key and not with the rows, and which one."""
        seen: set[SSAValue] = set()
        sources: list[str] = []
        queue = deque([scores])
        while queue:
            read = self.tracer.source(queue.popleft())
            op = hlo.owner(read.value)
            if read.value in seen:
                continue
            seen.add(read.value)
            if op is None:
                sources.append("an argument")
            elif op.name == "stablehlo.dot_general" and op.parent is self.dot.parent:
                if not hlo.is_float(read.value):
                    sources.append("a dot of integers")
                elif (side := self._key_side(op, read.indices)) is not None:
                    return read, op, side
                else:
                    sources.append("a dot of other dimensions")
            elif is_elementwise(read.value):
                queue += [
                    Read(operand, read.indices)
                    for operand in op.operands
                    if hlo.shape(operand) == hlo.shape(read.value)
                ]
            else:
                sources.append(op.name if op.parent is self.dot.parent else f"{op.name} in another block")
        found = " and ".join(dict.fromkeys(sources))
        raise NotAttention(f"no dot of queries and keys was found below the softmax, whose scores come from {found}")

    def _check_accumulators(self, first_dot: Operation, root: Read) -> None:
        if isinstance(hlo.element_type(root.value), Float64Type):
            return
        for dot in (first_dot, self.dot):
            if hlo.accumulates_in_f64(dot):
                raise NotAttention(
                    "a dot asks for sums in f64, which attention has only for operands in f64: convert them before"
                )

    def _key_side(self, dot: Operation, indices: Indices) -> int | None:
        dims = hlo.dot_dimensions(dot)
        if len(dims.contracting[0]) != 1:
            return None
        batch = len(dims.batching[0])
        ranks = [len(hlo.shape(o)) for o in dot.operands]
        free = [dims.free(side, ranks[side]) for side in (0, 1)]
        of_lhs = indices[batch : batch + len(free[0])]
        of_rhs = indices[batch + len(free[0]) :]
        keys = [any(i.uses(self.n) for i in side) for side in (of_lhs, of_rhs)]
        if any(i.uses(self.n) for i in indices[:batch]):
            return None
        if self.n.size == 1:
            # With one key nothing varies with it: the side that does not vary with the rows is the keys'.
            keys = [not any(i.uses(r) for i in side for r in self.rows) for side in (of_lhs, of_rhs)]
            if all(keys):
                return 1
        return keys.index(True) if keys.count(True) == 1 else None

    def _first_dot_operands(self, dot: Operation, logit: Read, side: int) -> tuple[Read, Read, Var]:
        dims = hlo.dot_dimensions(dot)
        k = Var(hlo.shape(dot.operands[0])[dims.contracting[0][0]], "k")
        batch = len(dims.batching[0])
        position = batch
        reads: list[Read] = []
        for operand_side, operand in enumerate(dot.operands):
            rank = len(hlo.shape(operand))
            indices = [Index()] * rank
            for i, dim in enumerate(dims.batching[operand_side]):
                indices[dim] = logit.indices[i]
            indices[dims.contracting[operand_side][0]] = Index.of(k)
            for dim in dims.free(operand_side, rank):
                indices[dim] = logit.indices[position]
                position += 1
            reads.append(Read(operand, tuple(indices)))
        return reads[1 - side], reads[side], k

    def _absorb(self, query: Read, key: Read, k: Var, root: Read) -> tuple[Operand, Operand, Operand]:
        """Q, K and V as they will be read."""
        whole = (self.n, k, self.d)
        # Sums are in f64 only where Q is, so it must not be read in a narrower type there.
        in_f64 = isinstance(hlo.element_type(root.value), Float64Type)

        def plain(read: Read, *, scale: bool, converts: bool) -> Operand:
            return absorb(read, whole, self.tracer, self.folder, scale=scale, converts=converts and not in_f64)

        codes = None if in_f64 else self._quantized(key, k)
        for converts in (True, False):
            q = plain(query, scale=True, converts=converts)
            key_operand = codes or plain(key, scale=True, converts=converts)
            q_type, key_type = (hlo.element_type(operand.read.value) for operand in (q, key_operand))
            if q_type == key_type if key_operand.quantized is None else key_operand.quantized.fits(q_type):
                break
        else:
            raise NotAttention(f"the query has element type {q_type} but the key {key_type}; convert one of them")
        if in_f64 and not isinstance(q_type, Float64Type):
            raise NotAttention("the result is in f64 but the logits are not; compute both dots in one type")
        value = None if in_f64 else self._quantized(self.value, self.d)
        # Weights are rounded to the type of V, of codes to that of Q, which must not show in a wider result.
        width = self._result_width(root)
        if value is None or hlo.bit_width(q.read.value) < min(width, hlo.bit_width(self.value.value)):
            value = absorb(self.value, whole, self.tracer, self.folder, scale=False, converts=True)
            if hlo.bit_width(value.read.value) < width:
                value = absorb(self.value, whole, self.tracer, self.folder, scale=False, converts=False)
        for name, operand in (("query", q), ("key", key_operand), ("value", value)):
            if operand.quantized is None and not hlo.is_float(operand.read.value):
                raise NotAttention(f"the {name} has element type {hlo.element_type(operand.read.value)}")
        return q, key_operand, value

    def _quantized(self, read: Read, channel: Var) -> Operand | None:
        """K or V as codes, where the graph dequantises them."""
        if not self.dequantises or hlo.bit_width(read.value) < 16:
            return None
        found = DequantisationReader(self.tracer, self.folder, self.n, channel).find(read)
        if found is None:
            return None
        self.has_codes = True
        return Operand(found[0], quantized=found[1])

    def _result_width(self, root: Read) -> int:
        """The bits of the result: those of the root, or of what alone is rounded from it."""
        result = root
        while (user := single_user(result.value)) is not None:
            if user.name == "stablehlo.convert" and hlo.changes_type(user) and hlo.is_rounding_convert(user):
                return hlo.bit_width(user.results[0])
            if (step := forward_step(user, result.indices)) is None:
                break
            result = Read(user.results[0], step)
        return hlo.bit_width(root.value)

    # Escapes

    def _computed_from(self, logit: SSAValue, root: Read) -> set[SSAValue]:
        """What is computed from the logits before the root. That ends the search: it must stay linear."""
        last = hlo.owner(root.value)
        assert last is not None
        end = self.positions[last]
        computed = {logit}
        worklist = [logit]
        while worklist:
            for use in worklist.pop().uses:
                user = use.operation
                if user.parent is last.parent and self.positions.get(user, 0) < end:
                    new = [res for res in user.results if res not in computed]
                    computed.update(new)
                    worklist.extend(new)
        return computed

    def _is_closed(self, computed: set[SSAValue]) -> bool:
        """Whether nothing between the dots is used by anything else."""
        return all(
            use.operation is self.dot or use.operation in self.tracer.visited
            for value in computed
            for use in value.uses
        )
