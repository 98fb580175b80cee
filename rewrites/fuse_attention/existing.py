"""
`attention.sdpa` that is there before the pass, as ONNX's `Attention` comes in: views before and after it become its
layouts, a dequantisation of K and V codes with scales, and masks that it captures become formulas where they are some,
as in the groups that the pass finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import AffineMapAttr, Float64Type
from xdsl.ir import Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from flashlower.dialects.attention import Quantization, SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, dim_names, layout_terms, make_layout
from flashlower.dialects.attention.quantization import Shared
from flashlower.dialects.attention.score import score_arg_names
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.absorb import absorb, is_layout
from flashlower.rewrites.fuse_attention.access import Digit, Index, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.dequantise import DequantisationReader, is_partial
from flashlower.rewrites.fuse_attention.emit import Emitter
from flashlower.rewrites.fuse_attention.expression import Affine, Logit
from flashlower.rewrites.fuse_attention.forward import forward_step, single_user
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.join import joined, new_operations
from flashlower.rewrites.fuse_attention.region import RegionReader
from flashlower.rewrites.fuse_attention.score import ScoreReader

_KEPT = frozenset(
    (
        *("query_layout", "key_layout", "value_layout", "output_layout", "kv_lens_layout", "sinks_layout"),
        *("scale", "operandSegmentSizes"),
    )
)
"""The properties of operations that are replaced; with pages, codes, bounds, schedules or an LSE they stay."""


@dataclass
class Existing:
    """One `attention.sdpa`; its dimensions are the variables."""

    op: SdpaOp
    folder: ConstantFolder
    variables: list[Var] = field(init=False)
    names: dict[Digit, str] = field(init=False)
    tracer: Tracer = field(default_factory=Tracer, init=False)

    def __post_init__(self) -> None:
        sizes = self.op.dim_sizes()
        self.variables = [Var(sizes[name], name) for name in dim_names(self.op.batch_rank)]
        self.names = {Digit(v, 1, v.size): v.label for v in self.variables}
        self.group_size, self.head_size = sizes["g"], sizes["h"]

    @property
    def batch_rank(self) -> int:
        return self.op.batch_rank

    def pieces(self, digit: Digit) -> list[tuple[Digit, int]] | None:
        """A dimension in one piece; None for a part of one."""
        return [] if digit.size == 1 else [(digit, 1)] if digit.is_whole else None

    # Layouts

    def _read(self, value: SSAValue, layout: AffineMapAttr) -> Read:
        def index(terms: Sequence[Term]) -> Index:
            variables = [(self.variables[term.dim], term.stride) for term in terms]
            return Index(tuple((Digit(v, 1, v.size), stride) for v, stride in variables))

        return Read(value, tuple(map(index, layout_terms(layout.data))))

    def _layout(self, read: Read) -> AffineMapAttr | None:
        """The layout of a tensor that is read at these indices; None where it is not read as a whole, or has none."""
        inner = self.variables[-len(INNER_DIMS) :]
        indices: list[list[Term]] = []
        for index, size in zip(read.indices, hlo.shape(read.value), strict=True):
            terms: list[Term] = []
            covered = 1
            for digit, stride in reversed(index.terms):
                if digit.size != 1 and stride != covered:
                    return None
                divisor, modulus = 1, None
                if is_partial(digit, tuple(self.variables)):
                    if digit.var not in inner or (digit.div != 1 and digit.div * digit.size != digit.var.size):
                        return None
                    divisor, modulus = digit.div, digit.size if digit.div == 1 else None
                terms.insert(0, Term(self.variables.index(digit.var), covered, divisor, modulus))
                covered *= digit.size
            if covered != size or index.offset:
                return None
            indices.append(terms)
        return make_layout(len(self.variables), indices)

    def _operand(self, value: SSAValue, layout: AffineMapAttr) -> tuple[SSAValue, AffineMapAttr]:
        """What can be read in the place of an operand, and how."""
        read = self._read(value, layout)
        source = absorb(read, self.variables, self.tracer, self.folder, scale=False, converts=False).read
        new = self._layout(source)
        return (value, layout) if new is None else (source.value, new)

    def _codes(
        self, value: SSAValue, layout: AffineMapAttr, channel: str
    ) -> tuple[SSAValue, AffineMapAttr, Quantization] | None:
        """The codes that K or V is computed from, where the graph dequantises them."""
        names = {variable.label: variable for variable in self.variables}
        reader = DequantisationReader(self.tracer, self.folder, names["n"], names[channel])
        if isinstance(self.op.accumulator_type, Float64Type) or hlo.bit_width(value) < 16:
            return None
        if (found := reader.find(self._read(value, layout))) is None or not found[1].fits(hlo.element_type(value)):
            return None
        if hlo.element_type(value) != hlo.element_type(self.op.query):
            return None
        codes, quantized = joined(found[0], names["n"]), found[1]
        new = self._layout(codes)
        parts: dict[str, Shared] = {}
        for part, original in quantized.parts.items():
            read = joined(original, names["n"])
            if (part_layout := self._layout(read)) is None:
                return None
            parts[part] = Shared(read.value, part_layout)
        return None if new is None else (codes.value, new, Quantization(quantized.attr, **parts))

    def _result(self) -> tuple[SSAValue, AffineMapAttr]:
        """The value that the operation can define, after transposes and reshapes of its result."""
        read = self._read(self.op.output, self.op.output_layout)
        best = read.value, self.op.output_layout
        while (user := single_user(read.value)) is not None and user.name != "stablehlo.convert":
            step = forward_step(user, read.indices)
            if step is None or not is_layout(step, self.variables):
                break
            read = Read(user.results[0], step)
            if (layout := self._layout(read)) is not None:
                best = read.value, layout
        return best

    # The score

    def _score(self) -> Region | None:
        """A region with formulas in the place of tensors; None where there are none."""
        if not self.op.score.blocks:
            return None
        n = self.variables[-len(INNER_DIMS) + INNER_DIMS.index("n")]
        nothing = Read(self.op.output, ())
        reader = ScoreReader(n, self.tracer, self.folder, nothing, Logit(), set())
        positions = {v.label: Affine.atom(Digit(v, 1, v.size)) for v in self.variables}
        positions["hq"] = positions["h"] * self.group_size + positions["g"]
        names = score_arg_names(self.batch_rank)[1:]
        region = RegionReader(self.op, reader, {name: positions[name] for name in names})
        try:
            score = region.read()
            return Emitter(self, self.op.accumulator_type, 1.0).region(score) if region.has_new_formula else None
        except NotAttention:
            return None

    def replace(self) -> Operation | None:
        """Replaces the operation by one that reads and writes more directly. Returns the last one that is dead now."""
        op = self.op
        if not op.properties.keys() <= _KEPT:
            return None
        q = self._operand(op.query, op.query_layout)
        k = self._codes(op.key, op.key_layout, "k") or (*self._operand(op.key, op.key_layout), None)
        v = self._codes(op.value, op.value_layout, "d") or (*self._operand(op.value, op.value_layout), None)
        result, out = self._result()
        score = self._score()
        if (q[0], k[0], v[0], result) == (op.query, op.key, op.value, op.output) and score is None:
            return None
        layouts = {name: layout for name, _, layout in op.layouts()}
        new = SdpaOp(
            *(q[0], k[0], v[0]),
            {**layouts, "q": q[1], "k": k[1], "v": v[1], "out": out},
            op.scale.value.data,
            result.type,
            key_quantization=k[2],
            value_quantization=v[2],
            kv_lens=op.kv_lens,
            sinks=op.sinks,
            score=op.detach_region(op.score) if score is None else score,
            attributes=op.attributes,
        )
        Rewriter.insert_op([*new_operations([*new.operands]), new], InsertPoint.before(op))
        new.output.name_hint = result.name_hint
        result.replace_all_uses_with(new.output)
        return hlo.owner(result)
