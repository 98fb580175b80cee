"""`attention.sdpa`: attention over whole key sequences, in one operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from xdsl.dialects.builtin import (
    AffineMapAttr,
    FloatAttr,
    TensorType,
    f64,
)
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    opt_prop_def,
    opt_result_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.assembly import (
    parse_result,
    print_results,
)
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.base import AttentionCanonicalizationTrait, AttentionOp
from flashlower.dialects.attention.bounds import NO_BOUNDS, Bounds
from flashlower.dialects.attention.clauses import Clauses, print_operands, print_score
from flashlower.dialects.attention.quantization import NOT_QUANTIZED, Quantization
from flashlower.dialects.attention.verification import (
    verify_attention,
    verify_covered,
    verify_dims,
    verify_lse_type,
    verify_sinks,
)


@irdl_op_definition
class SdpaOp(AttentionOp):
    """
    Scaled dot-product attention over whole key sequences.

    With `len` the entry of `kv_lens` (clamped to 0..N; N where absent), for every batch index, head and query:

        s[n]   = score(scale * sum_k q[.., m, k] * k[.., n, k], b..., hq, m, n)      for 0 <= n < len
        lse    = log(sum_n exp(s[n]) + exp(sink))                                    (no sink: without that term)
        out[d] = sum_n exp(s[n] - lse) * v[.., n, d]

    - Logits, sums and LSE are in f32 (f64 for f64 queries), whatever the storage types; an implementation may round
      the weights exp(s - max) to the type of v before it multiplies them with v. `out` is rounded once to its type.
    - A row without any key (len = 0) and a row whose logits are all -inf (fully masked) give out = 0 and
      lse = -inf, or lse = sink where there is a sink. NaN in a logit of an existing key propagates.
    - Keys from `len` on do not exist: K, V and captured tensors are not read there.
    - With a `block_table`, K or V or both are pools of pages, and their layouts use `page` and `slot` in place of n.
      A page has S slots, S being the size of `slot`; N is S times the entries that the table has for a sequence:

          p = n floordiv S,   slot = n mod S,   row = rows[..],   page = block_table[.., row, p]

      The table may have a row for every sequence (`%table[b, p]`), or `rows` says which row is a sequence's
      (`%table[row, p]`). Pages may lie in any order and belong to several sequences. Entries that are read must be
      numbers of pages: those for p < ceil(len / S). All others, and `row` where len = 0, may be anything.
    - `scale` is a natural-units factor on the dot product, before the score region. An empty score region is the
      identity. In it, indices count from 0 in every dimension, and `hq` is the query head, h * G + g.
    - `reach` and `unmasked` are intervals of keys for a block of queries m0 <= m < m1, and change nothing where they
      are true: keys outside of `reach` have the logit -inf for every query of the block, and in `unmasked` every mask
      of the score region keeps its logit. A mask is an `arith.select` with -inf, or a constant of at most -1e4, on one
      side. Their symbols read `bound_scalars`, integers with layouts over b.... Whether a NaN or inf in the V of a
      key of weight 0 reaches `out` is not defined.
    - `sinks` holds a logit per query head that takes part in the sum and has no value.
    - K or V or both may be quantised (`key_quantization`, `value_quantization`): the operand holds codes, and

          k = round((code - zero) * scale + offset)

      computed in the type of logits and rounded once, to `round` of the attribute if it has one. `scale` (1 where
      absent) is `key_scale`, `zero` the attribute's or `key_zero`, `offset` `key_offset`; see `quantization`.

    Layouts of q may use b..., h, g, m, k; of k: b..., h, g, n (or page, slot), k; of v: b..., h, g, n (or page, slot),
    d; of what scales a quantised one: the same, in digits of n, slot, k and d too; of block_table: b..., h, g, row, p;
    of rows, kv_lens and sinks: b..., h, g; of out: b..., h, g, m, d; of lse: b..., h, g, m.
    """

    name = "attention.sdpa"

    output = result_def(TensorType)
    lse = opt_result_def(TensorType)
    output_layout = prop_def(AffineMapAttr)
    lse_layout = opt_prop_def(AffineMapAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure(), AttentionCanonicalizationTrait())

    def __init__(
        self,
        query: SSAValue,
        key: SSAValue,
        value: SSAValue,
        layouts: Mapping[str, AffineMapAttr],
        scale: float,
        output_type: Attribute,
        *,
        key_quantization: Quantization | None = None,
        value_quantization: Quantization | None = None,
        block_table: SSAValue | None = None,
        rows: SSAValue | None = None,
        kv_lens: SSAValue | None = None,
        sinks: SSAValue | None = None,
        score: Region | None = None,
        lse_type: Attribute | None = None,
        schedule: ScheduleAttr | None = None,
        bounds: Bounds = NO_BOUNDS,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """`layouts` has the keys q, k, v, out, and block_table, rows, kv_lens, sinks, lse where those are given."""
        super().__init__(
            operands=[
                query,
                key,
                *(key_quantization.operands() if key_quantization else NOT_QUANTIZED),
                value,
                *(value_quantization.operands() if value_quantization else NOT_QUANTIZED),
                block_table,
                rows,
                kv_lens,
                sinks,
                bounds.operands(),
            ],
            result_types=[output_type, lse_type],
            properties={
                "query_layout": layouts["q"],
                "key_layout": layouts["k"],
                "value_layout": layouts["v"],
                "block_table_layout": None if block_table is None else layouts["block_table"],
                "rows_layout": None if rows is None else layouts["rows"],
                "kv_lens_layout": None if kv_lens is None else layouts["kv_lens"],
                "sinks_layout": None if sinks is None else layouts["sinks"],
                "output_layout": layouts["out"],
                "lse_layout": None if lse_type is None else layouts["lse"],
                "scale": FloatAttr(scale, f64),
                "schedule": schedule,
                **(key_quantization.properties("key") if key_quantization else {}),
                **(value_quantization.properties("value") if value_quantization else {}),
                **bounds.properties(),
            },
            attributes=dict(attributes or {}),
            regions=[Region() if score is None else score],
        )

    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
        layouts = super().layouts()
        layouts.append(("out", self.output, self.output_layout))
        if self.lse is not None and self.lse_layout is not None:
            layouts.append(("lse", self.lse, self.lse_layout))
        return layouts

    def verify_(self) -> None:
        if (self.lse is None) != (self.lse_layout is None):
            raise VerifyException("lse and lse_layout must be given together")
        verify_attention(self)
        verify_dims(self, "out", self.output_layout, "ghmd")
        verify_sinks(self.sinks, self.sinks_layout)
        if self.lse_layout is not None:
            verify_dims(self, "lse", self.lse_layout, "ghm")
        verify_lse_type(self.lse, self.accumulator_type)
        verify_covered(self.output_layout, self.dim_sizes(), "out", "hgmd", self.batch_rank)
        if self.lse_layout is not None:
            verify_covered(self.lse_layout, self.dim_sizes(), "lse", "hgm", self.batch_rank)

    def print(self, printer: Printer) -> None:
        print_operands(self, printer)
        print_score(self, printer)
        results = [("out", self.output_layout, self.output.type)]
        if self.lse is not None and self.lse_layout is not None:
            results.append(("lse", self.lse_layout, self.lse.type))
        print_results(printer, results)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        clauses = Clauses(parser)
        clauses.parse_score()
        parser.parse_punctuation("->")
        out_layout, out_type = parse_result(parser, "out")
        lse_layout, lse_type = parse_result(parser, "lse") if parser.parse_optional_punctuation(",") else (None, None)
        clauses.finish([out_layout] if lse_layout is None else [out_layout, lse_layout])
        return cls.build(
            operands=clauses.operands(),
            result_types=[out_type, lse_type],
            properties={
                **clauses.properties(),
                "output_layout": clauses.layout(out_layout),
                "lse_layout": None if lse_layout is None else clauses.layout(lse_layout),
            },
            attributes=clauses.attributes,
            regions=[clauses.score_region],
        )
