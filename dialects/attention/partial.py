"""`attention.partial`: attention over each of several runs of the keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Self

from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, FloatAttr, IntegerAttr, TensorType, f64, i64
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    opt_result_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.assembly import new_line
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.base import AttentionCanonicalizationTrait, AttentionOp
from flashlower.dialects.attention.bounds import NO_BOUNDS, Bounds
from flashlower.dialects.attention.clauses import Clauses, print_operands, print_score
from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.dialects.attention.quantization import NOT_QUANTIZED, Quantization
from flashlower.dialects.attention.types import TensorOf, accumulator_type
from flashlower.dialects.attention.verification import verify_attention


def partial_shapes(sizes: Mapping[str, int], splits: int) -> tuple[list[int], list[int]]:
    """Shapes of the results of `attention.partial`: [b..., h, g, split, m, d] and [b..., h, g, split, m]."""
    batch = [size for name, size in sizes.items() if name not in INNER_DIMS]
    lse = [*batch, sizes["h"], sizes["g"], splits, sizes["m"]]
    return [*lse, sizes["d"]], lse


# To build an attribute takes longer than all else that a splitting does, and most operations have the same ones.
@lru_cache
def _i64(value: int) -> IntegerAttr:
    return IntegerAttr(value, i64)


@lru_cache
def _result_types(element_type: AnyFloat, shape: tuple[int, ...]) -> tuple[TensorOf, TensorOf]:
    """Types of the outputs and the LSE of an `attention.partial` for the shape of the outputs."""
    return TensorType(element_type, shape), TensorType(element_type, shape[:-1])


@irdl_op_definition
class PartialOp(AttentionOp):
    """
    Attention over each of `splits` runs of the keys: flash decoding's first step.

    The keys 0..len are cut into T = ceil(len / tile) tiles; split i has the tiles from floor(T * i / splits) to
    floor(T * (i + 1) / splits), so that runs differ by one tile at most, whatever the length, and nothing is padded.
    Where there is a `reach`, its bounds for all queries (m0 = 0, m1 = M) narrow the keys to lo..hi within 0..len, and
    the tiles that are shared out are those from floor(lo / tile) to ceil(hi / tile); keys from hi on are in no split.
    For the keys n of split i, with s[n] and pages as in `attention.sdpa` (n counts from the start of the sequence):

        lse[i]    = log(sum_n exp(s[n]))
        out[i, d] = sum_n exp(s[n] - lse[i]) * v[.., n, d]
        sum[i]    = sum_n exp(s[n] - max_n s[n])                                 (optional)

    A split without keys, or with all logits -inf, has out = 0, lse = -inf and sum = 0. Results are in f32 (f64 for f64
    queries), laid out [b..., h, g, split, m, d], and [b..., h, g, split, m] for lse and sum.

    `sum` is for logits so large that the LSE, max + log(sum), rounds the log away: in a row where every key is masked
    with -2.4e38, only the sum says how many keys a split has.
    """

    name = "attention.partial"

    splits = prop_def(IntegerAttr)
    tile = prop_def(IntegerAttr)

    output = result_def(TensorType)
    lse = result_def(TensorType)
    sum = opt_result_def(TensorType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure(), AttentionCanonicalizationTrait())

    def __init__(
        self,
        query: SSAValue,
        key: SSAValue,
        value: SSAValue,
        layouts: Mapping[str, AffineMapAttr],
        scale: float,
        splits: int,
        tile: int,
        sizes: Mapping[str, int],
        *,
        key_quantization: Quantization | None = None,
        value_quantization: Quantization | None = None,
        block_table: SSAValue | None = None,
        rows: SSAValue | None = None,
        kv_lens: SSAValue | None = None,
        score: Region | None = None,
        with_sum: bool = False,
        schedule: ScheduleAttr | None = None,
        bounds: Bounds = NO_BOUNDS,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """
        `layouts` has the keys q, k, v and, where given, block_table, rows, kv_lens; `sizes` are those of
        `AttentionOp.dim_sizes`.
        """
        output_shape, _ = partial_shapes(sizes, splits)
        output_type, lse_type = _result_types(accumulator_type(query.type), tuple(output_shape))
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
                None,
                bounds.operands(),
            ],
            result_types=[output_type, lse_type, lse_type if with_sum else None],
            properties={
                "query_layout": layouts["q"],
                "key_layout": layouts["k"],
                "value_layout": layouts["v"],
                "block_table_layout": None if block_table is None else layouts["block_table"],
                "rows_layout": None if rows is None else layouts["rows"],
                "kv_lens_layout": None if kv_lens is None else layouts["kv_lens"],
                "scale": FloatAttr(scale, f64),
                "splits": _i64(splits),
                "tile": _i64(tile),
                "schedule": schedule,
                **(key_quantization.properties("key") if key_quantization else {}),
                **(value_quantization.properties("value") if value_quantization else {}),
                **bounds.properties(),
            },
            attributes=dict(attributes or {}),
            regions=[Region() if score is None else score],
        )

    @property
    def num_splits(self) -> int:
        """The number of splits."""
        return self.splits.value.data

    def verify_(self) -> None:
        if self.sinks is not None:
            raise VerifyException("sinks take part once: give them to attention.combine")
        verify_attention(self)
        for name, attr in (("splits", self.splits), ("tile", self.tile)):
            if attr.value.data < 1:
                raise VerifyException(f"{name} is {attr.value.data}, expected at least 1")
        if self.schedule is not None and self.tile.value.data % self.schedule.block_n.data:
            raise VerifyException(
                f"tile is {self.tile.value.data}, which block_n = {self.schedule.block_n.data} of the schedule "
                "does not divide"
            )
        output_shape, lse_shape = partial_shapes(self.dim_sizes(), self.num_splits)
        for name, result, shape in (
            ("out", self.output, output_shape),
            ("lse", self.lse, lse_shape),
            ("sum", self.sum, lse_shape),
        ):
            wanted = TensorType(self.accumulator_type, shape)
            if result is not None and result.type != wanted:
                raise VerifyException(f"{name} has type {result.type}, expected {wanted}")

    def print(self, printer: Printer) -> None:
        print_operands(self, printer)
        new_line(printer)
        printer.print_string(f"splits({self.num_splits}) tile({self.tile.value.data})")
        print_score(self, printer)
        new_line(printer)
        printer.print_string("-> ")
        for i, (name, result) in enumerate(zip(("out", "lse", "sum"), self.results)):
            printer.print_string((", " if i else "") + f"{name} : ")
            printer.print_attribute(result.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        clauses = Clauses(parser)
        if clauses.sinks is not None:
            parser.raise_error("attention.partial takes no sinks; give them to attention.combine")
        parser.parse_keyword("splits")
        with parser.in_parens():
            splits = parser.parse_integer()
        parser.parse_keyword("tile")
        with parser.in_parens():
            tile = parser.parse_integer()
        clauses.parse_score()
        parser.parse_punctuation("->")
        result_types: list[Attribute | None] = []
        for name in ("out", "lse", "sum"):
            if name == "lse":
                parser.parse_punctuation(",")
            elif name == "sum" and parser.parse_optional_punctuation(",") is None:
                result_types.append(None)
                break
            parser.parse_keyword(name)
            parser.parse_punctuation(":")
            result_types.append(parser.parse_type())
        clauses.finish()
        return cls.build(
            operands=clauses.operands(),
            result_types=result_types,
            properties={
                **clauses.properties(),
                "splits": IntegerAttr(splits, i64),
                "tile": IntegerAttr(tile, i64),
            },
            attributes=clauses.attributes,
            regions=[clauses.score_region],
        )
