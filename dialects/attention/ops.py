"""Operations of the attention dialect; the package's docstring says what they mean together."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Self, cast

from xdsl.dialects import tensor
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    AnyFloat,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    TensorType,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    opt_result_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.pattern_rewriter import RewritePattern
from xdsl.printer import Printer
from xdsl.traits import HasCanonicalizationPatternsTrait, HasParent, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.assembly import (
    new_line,
    parse_clause,
    parse_optional_clause,
    parse_result,
    print_clause,
    print_extra_attributes,
    print_results,
)
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.layout import (
    INNER_DIMS,
    DimSizes,
    NamedTerms,
    batch_rank_of,
    resolve_layout,
)
from flashlower.dialects.attention.score import (
    build_score_region,
    match_score_forms,
    parse_score_forms,
    print_score_forms,
    score_arg_names,
)

TensorOf = TensorType[Attribute]

SCORE_OPS = (tensor.ExtractOp, tensor.DimOp)
"""What a score region may hold besides `arith` and `math`."""


def accumulator_type(query_type: Attribute) -> AnyFloat:
    """The type of logits, sums and LSE: f32, or f64 where the query is f64."""
    return f64 if isinstance(cast(TensorOf, query_type).element_type, Float64Type) else f32


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a score region with the new logit."""

    name = "attention.yield"

    value = operand_def()

    assembly_format = "$value attr-dict `:` type($value)"

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(SdpaOp, PartialOp), Pure()))

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value])


class AttentionCanonicalizationTrait(HasCanonicalizationPatternsTrait):
    """Canonicalisation patterns of the attention operations."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        # A dialect never depends on rewrites when it loads; xDSL's own dialects import theirs here as well.
        from flashlower.rewrites.canonicalize_attention import (  # noqa: PLC0415
            ConvertSingleSplit,
            DropFullLengths,
            DropIdentityScore,
            DropUnusedLse,
            DropUnusedSum,
        )

        return (DropUnusedLse(), DropUnusedSum(), DropIdentityScore(), DropFullLengths(), ConvertSingleSplit())


class AttentionOp(IRDLOperation, ABC):
    """What `attention.sdpa` and `attention.partial` share: the operands, their layouts and the score region."""

    query = operand_def(TensorType)
    key = operand_def(TensorType)
    value = operand_def(TensorType)
    kv_lens = opt_operand_def(TensorType)
    sinks = opt_operand_def(TensorType)

    query_layout = prop_def(AffineMapAttr)
    key_layout = prop_def(AffineMapAttr)
    value_layout = prop_def(AffineMapAttr)
    kv_lens_layout = opt_prop_def(AffineMapAttr)
    sinks_layout = opt_prop_def(AffineMapAttr)
    scale = prop_def(FloatAttr)
    schedule = opt_prop_def(ScheduleAttr)

    score = region_def()

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        return self.query_layout.data.num_dims - len(INNER_DIMS)

    @property
    def accumulator_type(self) -> AnyFloat:
        """The type of logits, sums and LSE: f32, or f64 where the query is f64."""
        return accumulator_type(self.query.type)

    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
        """Every operand and result that has a layout: its name in the assembly format, the value, the layout."""
        layouts: list[tuple[str, SSAValue, AffineMapAttr]] = [
            ("q", self.query, self.query_layout),
            ("k", self.key, self.key_layout),
            ("v", self.value, self.value_layout),
        ]
        if self.kv_lens is not None and self.kv_lens_layout is not None:
            layouts.append(("kv_lens", self.kv_lens, self.kv_lens_layout))
        if self.sinks is not None and self.sinks_layout is not None:
            layouts.append(("sinks", self.sinks, self.sinks_layout))
        return layouts

    def dim_sizes(self) -> dict[str, int]:
        """
        Sizes of the iteration dimensions (`b` or `b0`..., h, g, m, n, k, d), `DYNAMIC_INDEX` where unknown.

        Raises `VerifyException` where the layouts contradict each other.
        """
        sizes = DimSizes.of(self.batch_rank)
        for name, value, layout in self.layouts():
            sizes.add(name, cast(TensorOf, value.type).get_shape(), layout.data)
        return sizes.by_name()

    def captures(self) -> list[SSAValue]:
        """Values from outside that the score region reads, each once, in the order of their use."""
        seen: dict[SSAValue, None] = {}
        for op in self.score.walk():
            for operand in op.operands:
                owner = operand.owner
                block = owner if not isinstance(owner, Operation) else owner.parent
                if block is None or block.parent is not self.score:
                    seen.setdefault(operand)
        return list(seen)

    def _verify_common(self) -> None:
        query, key, value = (cast(TensorOf, v.type) for v in (self.query, self.key, self.value))
        for name, type in (("q", query), ("k", key), ("v", value)):
            if not isinstance(type.element_type, AnyFloat):
                raise VerifyException(f"{name} has element type {type.element_type}, expected a float")
        if query.element_type != key.element_type:
            raise VerifyException(f"q has element type {query.element_type} but k has {key.element_type}")
        for name, operand, layout in (
            ("kv_lens", self.kv_lens, self.kv_lens_layout),
            ("sinks", self.sinks, self.sinks_layout),
        ):
            if (operand is None) != (layout is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
        self._verify_dims("q", self.query_layout, "nd")
        self._verify_dims("k", self.key_layout, "md")
        self._verify_dims("v", self.value_layout, "mk")
        if self.kv_lens is not None and self.kv_lens_layout is not None:
            element_type = cast(TensorOf, self.kv_lens.type).element_type
            if element_type not in (i32, i64):
                raise VerifyException(f"kv_lens has element type {element_type}, expected i32 or i64")
            self._verify_dims("kv_lens", self.kv_lens_layout, "mnkd")
        self.dim_sizes()
        self._verify_score()

    def _verify_dims(self, name: str, layout: AffineMapAttr, forbidden: str) -> None:
        names = (*[""] * (layout.data.num_dims - len(INNER_DIMS)), *INNER_DIMS)
        for expr in layout.data.results:
            for dim in expr.used_dims():
                if dim < len(names) and names[dim] and names[dim] in forbidden:
                    raise VerifyException(f"the layout of {name} depends on {names[dim]}, which {name} has not")

    def _verify_score(self) -> None:
        if not self.score.blocks:
            return
        if len(self.score.blocks) != 1:
            raise VerifyException(f"the score region has {len(self.score.blocks)} blocks, expected 1")
        block = self.score.block
        expected = [self.accumulator_type, *[IndexType()] * (self.batch_rank + 3)]
        if list(block.arg_types) != expected:
            raise VerifyException(
                "the score region has arguments ("
                + ", ".join(map(str, block.arg_types))
                + "), expected ("
                + ", ".join(map(str, expected))
                + ") for "
                + ", ".join(score_arg_names(self.batch_rank))
            )
        terminator = block.last_op
        if not isinstance(terminator, YieldOp):
            raise VerifyException("the score region must end with attention.yield")
        if terminator.value.type != self.accumulator_type:
            raise VerifyException(f"the score region yields {terminator.value.type}, expected {self.accumulator_type}")
        for op in block.ops:
            if op is not terminator and not (op.name.startswith(("arith.", "math.")) or isinstance(op, SCORE_OPS)):
                raise VerifyException(
                    f"{op.name} in a score region; it may hold operations of arith and math, "
                    "tensor.extract and tensor.dim"
                )

    def _print_operands(self, printer: Printer) -> None:
        for name, value, layout in AttentionOp.layouts(self):
            print_clause(printer, name, value, layout)

    def _print_score(self, printer: Printer) -> None:
        new_line(printer)
        printer.print_string("scale(")
        printer.print_float(self.scale.value.data, self.scale.type)
        printer.print_string(")")
        if self.score.blocks:
            new_line(printer)
            printer.print_string("score")
            if (forms := match_score_forms(self.score)) is not None:
                with printer.in_parens():
                    print_score_forms(forms, printer)
            else:
                printer.print_string(" ")
                with printer.indented(2):
                    printer.print_region(self.score)
        if self.schedule is not None:
            new_line(printer)
            printer.print_string("schedule")
            self.schedule.print_parameters(printer)
        print_extra_attributes(printer, self)


class _Clauses:
    """The clauses that sdpa and partial share, as parsed; layouts wait for the batch rank."""

    def __init__(self, parser: Parser):
        self.parser = parser
        self.query = parse_clause(parser, "q")
        self.key = parse_clause(parser, "k")
        self.value = parse_clause(parser, "v")
        self.kv_lens = parse_optional_clause(parser, "kv_lens")
        self.sinks = parse_optional_clause(parser, "sinks")

    def parse_score(self, result_layouts: Sequence[NamedTerms] = ()) -> None:
        parser = self.parser
        parser.parse_keyword("scale")
        with parser.in_parens():
            self.scale = FloatAttr(float(parser.parse_number()), f64)
        layouts = [c.layout for c in (self.query, self.key, self.value, self.kv_lens, self.sinks) if c]
        self.score_region = Region()
        self.forms = None
        if parser.parse_optional_keyword("score") is not None:
            if parser.parse_optional_punctuation("(") is not None:
                self.forms = parse_score_forms(parser, accumulator_type(self.query.value.type))
                parser.parse_punctuation(")")
            else:
                self.score_region = parser.parse_region()
        self.schedule = None
        if parser.parse_optional_keyword("schedule") is not None:
            self.schedule = ScheduleAttr(*(a.data for a in ScheduleAttr.parse_parameters(parser)))
        attributes = parser.parse_optional_attr_dict_with_keyword()
        self.attributes = dict(attributes.data) if attributes is not None else {}
        self._layouts = layouts

    def finish(self, result_layouts: Sequence[NamedTerms] = ()) -> None:
        """Resolves what depends on the batch rank, which results may be the only ones to name."""
        self.batch_rank = batch_rank_of([*self._layouts, *result_layouts])
        if self.forms is not None:
            self.score_region = build_score_region(
                self.forms, self.batch_rank, accumulator_type(self.query.value.type), YieldOp
            )

    def layout(self, layout: NamedTerms) -> AffineMapAttr:
        return resolve_layout(layout, self.batch_rank)

    def properties(self) -> dict[str, Attribute | None]:
        return {
            "query_layout": self.layout(self.query.layout),
            "key_layout": self.layout(self.key.layout),
            "value_layout": self.layout(self.value.layout),
            "kv_lens_layout": self.layout(self.kv_lens.layout) if self.kv_lens else None,
            "scale": self.scale,
            "schedule": self.schedule,
        }


def _verify_lse_type(lse: SSAValue | None, expected: AnyFloat) -> None:
    if lse is not None and (found := cast(TensorOf, lse.type).element_type) != expected:
        raise VerifyException(f"lse has element type {found}, expected {expected}")


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
    - `scale` is a natural-units factor on the dot product, before the score region. An empty score region is the
      identity. In it, indices count from 0 in every dimension, and `hq` is the query head, h * G + g.
    - `sinks` holds a logit per query head that takes part in the sum and has no value.

    Layouts of q may use b..., h, g, m, k; of k: b..., h, g, n, k; of v: b..., h, g, n, d; of kv_lens and sinks:
    b..., h, g; of out: b..., h, g, m, d; of lse: b..., h, g, m.
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
        kv_lens: SSAValue | None = None,
        sinks: SSAValue | None = None,
        score: Region | None = None,
        lse_type: Attribute | None = None,
        schedule: ScheduleAttr | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """`layouts` has the keys q, k, v, out, and kv_lens, sinks, lse where those are given."""
        super().__init__(
            operands=[query, key, value, kv_lens, sinks],
            result_types=[output_type, lse_type],
            properties={
                "query_layout": layouts["q"],
                "key_layout": layouts["k"],
                "value_layout": layouts["v"],
                "kv_lens_layout": None if kv_lens is None else layouts["kv_lens"],
                "sinks_layout": None if sinks is None else layouts["sinks"],
                "output_layout": layouts["out"],
                "lse_layout": None if lse_type is None else layouts["lse"],
                "scale": FloatAttr(scale, f64),
                "schedule": schedule,
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
        self._verify_common()
        self._verify_dims("out", self.output_layout, "nk")
        _verify_sinks(self.sinks, self.sinks_layout)
        if self.lse_layout is not None:
            self._verify_dims("lse", self.lse_layout, "nkd")
        _verify_lse_type(self.lse, self.accumulator_type)
        _verify_covered(self.output_layout, self.dim_sizes(), "out", "hgmd", self.batch_rank)
        if self.lse_layout is not None:
            _verify_covered(self.lse_layout, self.dim_sizes(), "lse", "hgm", self.batch_rank)

    def print(self, printer: Printer) -> None:
        self._print_operands(printer)
        self._print_score(printer)
        results = [("out", self.output_layout, self.output.type)]
        if self.lse is not None and self.lse_layout is not None:
            results.append(("lse", self.lse_layout, self.lse.type))
        print_results(printer, results)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        clauses = _Clauses(parser)
        clauses.parse_score()
        parser.parse_punctuation("->")
        out_layout, out_type = parse_result(parser, "out")
        lse_layout, lse_type = parse_result(parser, "lse") if parser.parse_optional_punctuation(",") else (None, None)
        clauses.finish([out_layout] if lse_layout is None else [out_layout, lse_layout])
        return cls.build(
            operands=[
                clauses.query.value,
                clauses.key.value,
                clauses.value.value,
                clauses.kv_lens.value if clauses.kv_lens else None,
                clauses.sinks.value if clauses.sinks else None,
            ],
            result_types=[out_type, lse_type],
            properties={
                **clauses.properties(),
                "sinks_layout": clauses.layout(clauses.sinks.layout) if clauses.sinks else None,
                "output_layout": clauses.layout(out_layout),
                "lse_layout": None if lse_layout is None else clauses.layout(lse_layout),
            },
            attributes=clauses.attributes,
            regions=[clauses.score_region],
        )


def _verify_sinks(sinks: SSAValue | None, layout: AffineMapAttr | None) -> None:
    if sinks is None or layout is None:
        return
    element_type = cast(TensorOf, sinks.type).element_type
    if not isinstance(element_type, AnyFloat):
        raise VerifyException(f"sinks has element type {element_type}, expected a float")
    inner = {layout.data.num_dims - len(INNER_DIMS) + INNER_DIMS.index(name) for name in "mnkd"}
    if any(inner & expr.used_dims() for expr in layout.data.results):
        raise VerifyException("the layout of sinks may use only batch dimensions, h and g")


def _verify_covered(layout: AffineMapAttr, sizes: Mapping[str, int], what: str, inner: str, batch_rank: int) -> None:
    """Every iteration dimension of a result must be in its layout, or several values would meet in one element."""
    used = {dim for expr in layout.data.results for dim in expr.used_dims()}
    for position, (name, size) in enumerate(sizes.items()):
        if (position < batch_rank or name in inner) and size != 1 and position not in used:
            raise VerifyException(f"the layout of {what} lacks {name}, which has size {size}")


def partial_shapes(sizes: Mapping[str, int], splits: int) -> tuple[list[int], list[int]]:
    """Shapes of the results of `attention.partial`: [b..., h, g, split, m, d] and [b..., h, g, split, m]."""
    batch = [size for name, size in sizes.items() if name not in INNER_DIMS]
    lse = [*batch, sizes["h"], sizes["g"], splits, sizes["m"]]
    return [*lse, sizes["d"]], lse


@irdl_op_definition
class PartialOp(AttentionOp):
    """
    Attention over each of `splits` runs of the keys: flash decoding's first step.

    The keys 0..len are cut into T = ceil(len / tile) tiles; split i has the tiles from floor(T * i / splits) to
    floor(T * (i + 1) / splits), so that runs differ by one tile at most, whatever the length, and nothing is padded.
    For the keys n of split i, with s[n] as in `attention.sdpa` (n counts from the start of the sequence):

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
        kv_lens: SSAValue | None = None,
        score: Region | None = None,
        with_sum: bool = False,
        schedule: ScheduleAttr | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """`layouts` has the keys q, k, v and, where given, kv_lens; `sizes` those of `AttentionOp.dim_sizes`."""
        output_shape, lse_shape = partial_shapes(sizes, splits)
        element_type = accumulator_type(query.type)
        lse_type = TensorType(element_type, lse_shape)
        super().__init__(
            operands=[query, key, value, kv_lens, None],
            result_types=[TensorType(element_type, output_shape), lse_type, lse_type if with_sum else None],
            properties={
                "query_layout": layouts["q"],
                "key_layout": layouts["k"],
                "value_layout": layouts["v"],
                "kv_lens_layout": None if kv_lens is None else layouts["kv_lens"],
                "scale": FloatAttr(scale, f64),
                "splits": IntegerAttr(splits, i64),
                "tile": IntegerAttr(tile, i64),
                "schedule": schedule,
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
        self._verify_common()
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
        self._print_operands(printer)
        new_line(printer)
        printer.print_string(f"splits({self.num_splits}) tile({self.tile.value.data})")
        self._print_score(printer)
        new_line(printer)
        printer.print_string("-> ")
        for i, (name, result) in enumerate(zip(("out", "lse", "sum"), self.results)):
            printer.print_string((", " if i else "") + f"{name} : ")
            printer.print_attribute(result.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        clauses = _Clauses(parser)
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
            operands=[
                clauses.query.value,
                clauses.key.value,
                clauses.value.value,
                clauses.kv_lens.value if clauses.kv_lens else None,
                None,
            ],
            result_types=result_types,
            properties={
                **clauses.properties(),
                "splits": IntegerAttr(splits, i64),
                "tile": IntegerAttr(tile, i64),
            },
            attributes=clauses.attributes,
            regions=[clauses.score_region],
        )


@irdl_op_definition
class CombineOp(IRDLOperation):
    """
    Puts splits together: flash decoding's second step.

    For inputs `partial` [b..., h, g, split, m, d] and `partial_lse` [b..., h, g, split, m]:

        lse    = log(sum_i exp(partial_lse[i]) + exp(sink))      (no sink: without that term)
        out[d] = sum_i exp(partial_lse[i] - lse) * partial[i, d]

    A split with lse = -inf has weight 0. Where every split has, out = 0 and lse = -inf (or the sink). The sums are
    in the type of the inputs, and `out` is rounded once to its type. (Dao et al., "Flash-Decoding for long-context
    inference", 2023.)

    With `partial_sum` [b..., h, g, split, m] the same is computed from what each split has as its maximum m[i] and
    the sum beside it, which keeps the sum where the LSE rounds its log away (see `attention.partial`):

        m[i]   = partial_lse[i] - log(partial_sum[i])            (-inf where partial_sum[i] = 0)
        M      = max_i m[i], or the sink if that is larger
        w[i]   = partial_sum[i] * exp(m[i] - M)
        total  = sum_i w[i] + exp(sink - M)
        lse    = M + log(total)
        out[d] = sum_i w[i] * partial[i, d] / total

    A split with partial_sum = 0 has weight 0.
    """

    name = "attention.combine"

    partial = operand_def(TensorType)
    partial_lse = operand_def(TensorType)
    partial_sum = opt_operand_def(TensorType)
    sinks = opt_operand_def(TensorType)
    sinks_layout = opt_prop_def(AffineMapAttr)

    output = result_def(TensorType)
    lse = opt_result_def(TensorType)
    output_layout = prop_def(AffineMapAttr)
    lse_layout = opt_prop_def(AffineMapAttr)
    schedule = opt_prop_def(ScheduleAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure(), AttentionCanonicalizationTrait())

    def __init__(
        self,
        partial: SSAValue,
        partial_lse: SSAValue,
        layouts: Mapping[str, AffineMapAttr],
        output_type: Attribute,
        *,
        partial_sum: SSAValue | None = None,
        sinks: SSAValue | None = None,
        lse_type: Attribute | None = None,
        schedule: ScheduleAttr | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """`layouts` has the key out, and sinks and lse where those are given."""
        super().__init__(
            operands=[partial, partial_lse, partial_sum, sinks],
            result_types=[output_type, lse_type],
            properties={
                "sinks_layout": None if sinks is None else layouts["sinks"],
                "output_layout": layouts["out"],
                "lse_layout": None if lse_type is None else layouts["lse"],
                "schedule": schedule,
            },
            attributes=dict(attributes or {}),
        )

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        return self.output_layout.data.num_dims - len(INNER_DIMS)

    @property
    def num_splits(self) -> int:
        """The number of splits."""
        return cast(TensorOf, self.partial_lse.type).get_shape()[-2]

    def dim_sizes(self) -> dict[str, int]:
        """Sizes of the iteration dimensions; n and k, which a combine does not have, are 1."""
        shape = cast(TensorOf, self.partial.type).get_shape()
        *batch, heads, group, _, queries, head_size = shape
        sizes = DimSizes.of(self.batch_rank).by_name()
        for name, size in zip(sizes, batch):
            sizes[name] = size
        return {**sizes, "h": heads, "g": group, "m": queries, "d": head_size}

    def verify_(self) -> None:
        partial = cast(TensorOf, self.partial.type)
        rank = self.batch_rank + 5
        if partial.get_num_dims() != rank:
            raise VerifyException(f"partial has rank {partial.get_num_dims()}, expected {rank}")
        expected = TensorType(partial.element_type, partial.get_shape()[:-1])
        for name, value in (("lse", self.partial_lse), ("sum", self.partial_sum)):
            if value is not None and value.type != expected:
                raise VerifyException(
                    f"{name} has type {value.type}, expected {expected} for partial of type {partial}"
                )
        if partial.element_type not in (f32, f64):
            raise VerifyException(f"partial has element type {partial.element_type}, expected f32 or f64")
        if self.num_splits == DYNAMIC_INDEX:
            raise VerifyException("the number of splits must be static")
        for name, value, layout in (
            ("sinks", self.sinks, self.sinks_layout),
            ("lse", self.lse, self.lse_layout),
        ):
            if (value is None) != (layout is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
        sizes = self.dim_sizes()
        given = DimSizes(tuple(sizes), dict(enumerate(sizes.values())), dict.fromkeys(range(len(sizes)), "partial"))
        given.add("out", self.output.type.get_shape(), self.output_layout.data)
        _verify_covered(self.output_layout, sizes, "out", "hgmd", self.batch_rank)
        if self.sinks is not None and self.sinks_layout is not None:
            given.add("sinks", cast(TensorOf, self.sinks.type).get_shape(), self.sinks_layout.data)
        _verify_sinks(self.sinks, self.sinks_layout)
        if self.lse is not None and self.lse_layout is not None:
            given.add("lse", self.lse.type.get_shape(), self.lse_layout.data)
            _verify_covered(self.lse_layout, sizes, "lse", "hgm", self.batch_rank)
        _verify_lse_type(self.lse, cast(AnyFloat, partial.element_type))

    def print(self, printer: Printer) -> None:
        for name, value in (("partial", self.partial), ("lse", self.partial_lse), ("sum", self.partial_sum)):
            if value is None:
                continue
            new_line(printer)
            printer.print_string(name)
            with printer.in_parens():
                printer.print_ssa_value(value)
                printer.print_string(" : ")
                printer.print_attribute(value.type)
        if self.sinks is not None and self.sinks_layout is not None:
            print_clause(printer, "sinks", self.sinks, self.sinks_layout)
        if self.schedule is not None:
            new_line(printer)
            printer.print_string("schedule")
            self.schedule.print_parameters(printer)
        print_extra_attributes(printer, self)
        results = [("out", self.output_layout, self.output.type)]
        if self.lse is not None and self.lse_layout is not None:
            results.append(("lse", self.lse_layout, self.lse.type))
        print_results(printer, results)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        operands: list[SSAValue | None] = []
        for name in ("partial", "lse", "sum"):
            if name != "sum":
                parser.parse_keyword(name)
            elif parser.parse_optional_keyword(name) is None:
                operands.append(None)
                break
            with parser.in_parens():
                operand = parser.parse_unresolved_operand()
                parser.parse_punctuation(":")
                operands.append(parser.resolve_operand(operand, parser.parse_type()))
        sinks = parse_optional_clause(parser, "sinks")
        operands.append(sinks.value if sinks else None)
        schedule = None
        if parser.parse_optional_keyword("schedule") is not None:
            schedule = ScheduleAttr(*(a.data for a in ScheduleAttr.parse_parameters(parser)))
        attributes = parser.parse_optional_attr_dict_with_keyword()
        parser.parse_punctuation("->")
        out_layout, out_type = parse_result(parser, "out")
        lse_layout, lse_type = parse_result(parser, "lse") if parser.parse_optional_punctuation(",") else (None, None)
        layouts = [layout for layout in (out_layout, lse_layout, sinks.layout if sinks else None) if layout]
        partial_type = cast(SSAValue, operands[0]).type
        rank = len(cast(TensorOf, partial_type).get_shape()) - 5 if isinstance(partial_type, TensorType) else 0
        rank = max(rank, batch_rank_of(layouts))
        return cls.build(
            operands=operands,
            result_types=[out_type, lse_type],
            properties={
                "sinks_layout": resolve_layout(sinks.layout, rank) if sinks else None,
                "output_layout": resolve_layout(out_layout, rank),
                "lse_layout": None if lse_layout is None else resolve_layout(lse_layout, rank),
                "schedule": schedule,
            },
            attributes=dict(attributes.data) if attributes is not None else {},
        )
