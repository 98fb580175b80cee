"""What the operations of the attention dialect share: operands, layouts, the score region, verification."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.dialects import tensor
from xdsl.dialects.builtin import (
    AffineMapAttr,
    AnyFloat,
    ArrayAttr,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerType,
    TensorType,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.pattern_rewriter import RewritePattern
from xdsl.printer import Printer
from xdsl.traits import HasCanonicalizationPatternsTrait, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.assembly import (
    Clause,
    new_line,
    parse_clause,
    parse_optional_clause,
    parse_scalar,
    print_clause,
    print_extra_attributes,
    print_scalar,
)
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.bounds import Bounds, KeyIntervalAttr, parse_interval
from flashlower.dialects.attention.layout import (
    INNER_DIMS,
    PAGE_INDICES,
    DimSizes,
    NamedTerms,
    batch_rank_of,
    dim_names,
    resolve_layout,
    used_indices,
)
from flashlower.dialects.attention.quantization import (
    PARTS,
    Packing,
    Quantization,
    QuantizationAttr,
    Shared,
    lanes_of,
    packing_of,
    verify_codes,
    verify_digits,
    verify_shared,
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


OPTIONAL_OPERANDS = ("block_table", "rows", "kv_lens", "sinks")

OPERANDS = (
    "query",
    "key",
    "key_scale",
    "key_zero",
    "key_offset",
    "value",
    "value_scale",
    "value_zero",
    "value_offset",
    *OPTIONAL_OPERANDS,
)
"""The operands that `attention.sdpa` and `attention.partial` share, each with a property `<name>_layout`."""

QUANTIZED = (("k", "key", "k"), ("v", "value", "d"))
"""What may be quantised: its name in the assembly format, that of the operand, and its channel dimension."""


def accumulator_type(query_type: Attribute) -> AnyFloat:
    """The type of logits, sums and LSE: f32, or f64 where the query is f64."""
    return f64 if isinstance(cast(TensorOf, query_type).element_type, Float64Type) else f32


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a score region with the new logit."""

    name = "attention.yield"

    value = operand_def()

    assembly_format = "$value attr-dict `:` type($value)"

    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value])

    def verify_(self) -> None:
        parent = self.parent_op()
        if parent is not None and not isinstance(parent, AttentionOp):
            raise VerifyException(
                f"attention.yield ends the score region of attention.sdpa or attention.partial, not a region of "
                f"{parent.name}"
            )


class AttentionCanonicalizationTrait(HasCanonicalizationPatternsTrait):
    """Canonicalisation patterns of the attention operations."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        # A dialect never depends on rewrites when it loads; xDSL's own dialects import theirs here as well.
        from flashlower.rewrites.canonicalize_attention import (  # noqa: PLC0415
            ConvertSingleSplit,
            DropFullLengths,
            DropIdentityRows,
            DropIdentityScore,
            DropUnusedLse,
            DropUnusedSum,
        )

        return (
            DropUnusedLse(),
            DropUnusedSum(),
            DropIdentityScore(),
            DropFullLengths(),
            DropIdentityRows(),
            ConvertSingleSplit(),
        )


class AttentionOp(IRDLOperation, ABC):
    """What `attention.sdpa` and `attention.partial` share: the operands, their layouts and the score region."""

    query = operand_def(TensorType)
    key = operand_def(TensorType)
    key_scale = opt_operand_def(TensorType)
    key_zero = opt_operand_def(TensorType)
    key_offset = opt_operand_def(TensorType)
    value = operand_def(TensorType)
    value_scale = opt_operand_def(TensorType)
    value_zero = opt_operand_def(TensorType)
    value_offset = opt_operand_def(TensorType)
    block_table = opt_operand_def(TensorType)
    rows = opt_operand_def(TensorType)
    kv_lens = opt_operand_def(TensorType)
    sinks = opt_operand_def(TensorType)
    bound_scalars = var_operand_def()

    query_layout = prop_def(AffineMapAttr)
    key_layout = prop_def(AffineMapAttr)
    key_quantization = opt_prop_def(QuantizationAttr)
    key_scale_layout = opt_prop_def(AffineMapAttr)
    key_zero_layout = opt_prop_def(AffineMapAttr)
    key_offset_layout = opt_prop_def(AffineMapAttr)
    value_layout = prop_def(AffineMapAttr)
    value_quantization = opt_prop_def(QuantizationAttr)
    value_scale_layout = opt_prop_def(AffineMapAttr)
    value_zero_layout = opt_prop_def(AffineMapAttr)
    value_offset_layout = opt_prop_def(AffineMapAttr)
    block_table_layout = opt_prop_def(AffineMapAttr)
    rows_layout = opt_prop_def(AffineMapAttr)
    kv_lens_layout = opt_prop_def(AffineMapAttr)
    sinks_layout = opt_prop_def(AffineMapAttr)
    scale = prop_def(FloatAttr)
    schedule = opt_prop_def(ScheduleAttr)
    reach = opt_prop_def(KeyIntervalAttr)
    unmasked = opt_prop_def(KeyIntervalAttr)
    bound_scalar_layouts = opt_prop_def(ArrayAttr[AffineMapAttr])

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
        layouts: list[tuple[str, SSAValue, AffineMapAttr]] = [("q", self.query, self.query_layout)]
        for name, operand, _ in QUANTIZED:
            layouts.append((name, getattr(self, operand), getattr(self, f"{operand}_layout")))
            if (quantization := self.quantization(name)) is not None:
                layouts += [(f"{name}_{part}", shared.value, shared.layout) for part, shared in quantization.shared()]
        # To read an operand takes far longer than to read a property, and most operations have none of these.
        for name in OPTIONAL_OPERANDS:
            layout: AffineMapAttr | None = getattr(self, f"{name}_layout")
            if layout is not None and (value := getattr(self, name)) is not None:
                layouts.append((name, value, layout))
        return layouts

    def _optional_operands(self) -> list[tuple[str, SSAValue | None, AffineMapAttr | None]]:
        return [(name, getattr(self, name), getattr(self, f"{name}_layout")) for name in OPTIONAL_OPERANDS]

    def quantization(self, name: str) -> Quantization | None:
        """How K (`name` is "k") or V ("v") is quantised, None where it is not."""
        operand = "key" if name == "k" else "value"
        attr: QuantizationAttr | None = getattr(self, f"{operand}_quantization")
        if attr is None:
            return None
        parts: dict[str, Shared] = {}
        for part in PARTS:
            value, layout = getattr(self, f"{operand}_{part}"), getattr(self, f"{operand}_{part}_layout")
            if value is not None and layout is not None:
                parts[part] = Shared(value, layout)
        return Quantization(attr, **parts)

    def packing(self, name: str) -> Packing | None:
        """Where the codes of a quantised K ("k") or V ("v") lie, None where it is not quantised."""
        operand, channel = ("key", "k") if name == "k" else ("value", "d")
        attr: QuantizationAttr | None = getattr(self, f"{operand}_quantization")
        if attr is None:
            return None
        codes: SSAValue = getattr(self, operand)
        layout: AffineMapAttr = getattr(self, f"{operand}_layout")
        return packing_of(attr, cast(TensorOf, codes.type), layout, channel, self.dim_sizes()[channel])

    def lanes(self) -> dict[str, int]:
        """How many codes an element of a quantised K and V holds, by "k" and "v": what `DimSizes` asks for."""
        if self.key_quantization is None and self.value_quantization is None:
            return {}
        attrs = {"k": (self.key_quantization, self.key), "v": (self.value_quantization, self.value)}
        return {
            name: lanes_of(attr, cast(TensorOf, codes.type).element_type)
            for name, (attr, codes) in attrs.items()
            if attr is not None
        }

    def dim_sizes(self) -> dict[str, int]:
        """
        Sizes of the iteration dimensions (`b` or `b0`..., h, g, m, n, k, d), `DYNAMIC_INDEX` where unknown.

        Raises `VerifyException` where the layouts contradict each other.
        """
        return self._collect_sizes().by_name()

    def index_sizes(self) -> dict[str, int]:
        """`dim_sizes`, and the sizes of the indices of pages: row, p, page and slot."""
        return self._collect_sizes().by_index()

    def _collect_sizes(self) -> DimSizes:
        sizes = DimSizes.of(self.batch_rank, self.lanes())
        for name, value, layout in self.layouts():
            sizes.add(name, cast(TensorOf, value.type).get_shape(), layout.data)
        return sizes

    @property
    def page_size(self) -> int | None:
        """The number of keys in a page, None where neither K nor V lies in pages."""
        return None if self.block_table is None else self.index_sizes()["slot"]

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
        quantized = {"k": self.key_quantization, "v": self.value_quantization}
        for name, type in (("q", query), ("k", key), ("v", value)):
            if quantized.get(name) is None and not isinstance(type.element_type, AnyFloat):
                raise VerifyException(f"{name} has element type {type.element_type}, expected a float")
        if quantized["k"] is None and query.element_type != key.element_type:
            raise VerifyException(f"q has element type {query.element_type} but k has {key.element_type}")
        for name, operand, layout in self._optional_operands():
            if (operand is None) != (layout is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
            if operand is None or name == "sinks":
                continue
            element_type = cast(TensorOf, operand.type).element_type
            if element_type not in (i32, i64):
                raise VerifyException(f"{name} has element type {element_type}, expected i32 or i64")
        self._verify_quantization()
        sizes = self._collect_sizes()
        self._verify_dims("q", self.query_layout, "ghmk")
        self._verify_dims("k", self.key_layout, "ghnk", "page", "slot")
        self._verify_dims("v", self.value_layout, "ghnd", "page", "slot")
        if self.kv_lens_layout is not None:
            self._verify_dims("kv_lens", self.kv_lens_layout, "gh")
        self._verify_pages()
        sizes.by_index()
        self._verify_score()
        self._verify_bounds()

    def _verify_quantization(self) -> None:
        """What stands beside K and V belongs to a quantised one, and the layouts have digits only where they may."""
        for name, operand, channel in QUANTIZED:
            attr: QuantizationAttr | None = getattr(self, f"{operand}_quantization")
            for part in PARTS:
                value: SSAValue | None = getattr(self, f"{operand}_{part}")
                layout: AffineMapAttr | None = getattr(self, f"{operand}_{part}_layout")
                if (value is None) != (layout is None):
                    raise VerifyException(f"{operand}_{part} and {operand}_{part}_layout must be given together")
                if value is not None and attr is None:
                    raise VerifyException(f"{name}_{part} is given, but {name} is not quantized")
            if (quantization := self.quantization(name)) is None:
                continue
            codes: SSAValue = getattr(self, operand)
            verify_codes(
                name, channel, quantization.attr, cast(TensorOf, codes.type), getattr(self, f"{operand}_layout")
            )
            verify_shared(name, quantization)
            for part, shared in quantization.shared():
                self._verify_dims(f"{name}_{part}", shared.layout, f"ghn{channel}", "page", "slot")
        digits = {"k": "k", "v": "d"}
        for name, _, layout in self.layouts():
            of_codes = digits[name] if name in self.lanes() else ""
            shared = name[:2] in ("k_", "v_")
            verify_digits(name, layout, ("n", "slot", digits[name[0]]) if shared else of_codes, of_codes)

    @property
    def bounds(self) -> Bounds:
        """What is known of the keys of a block of queries."""
        layouts = () if self.bound_scalar_layouts is None else self.bound_scalar_layouts
        return Bounds(self.reach, self.unmasked, list(zip(self.bound_scalars, layouts, strict=True)))

    def _verify_bounds(self) -> None:
        layouts = () if self.bound_scalar_layouts is None else self.bound_scalar_layouts.data
        if len(layouts) != len(self.bound_scalars):
            raise VerifyException(f"{len(self.bound_scalars)} scalars of bounds have {len(layouts)} layouts")
        sizes = DimSizes.of(self.batch_rank, self.lanes())
        for name, value, layout in self.layouts():
            sizes.add(name, cast(TensorOf, value.type).get_shape(), layout.data)
        for i, (value, layout) in enumerate(self.bounds.scalars):
            is_tensor = isinstance(value.type, TensorType)
            element_type = cast(TensorOf, value.type).element_type if is_tensor else value.type
            if not isinstance(element_type, IntegerType | IndexType):
                raise VerifyException(f"s{i} has type {value.type}, expected an integer or a tensor of integers")
            sizes.add(f"s{i}", cast(TensorOf, value.type).get_shape() if is_tensor else (), layout.data)
            self._verify_dims(f"s{i}", layout, "")
        for name, interval in (("reach", self.reach), ("unmasked", self.unmasked)):
            if interval is not None and interval.num_symbols > len(self.bound_scalars):
                raise VerifyException(
                    f"{name} reads s{interval.num_symbols - 1}, but has {len(self.bound_scalars)} scalars to read"
                )

    def _verify_dims(self, name: str, layout: AffineMapAttr, allowed: str, *paged: str) -> None:
        """Raises `VerifyException` for a dimension that is none of `allowed` and no batch dimension."""
        dims = {*dim_names(layout.data.num_dims - len(INNER_DIMS))[: -len(INNER_DIMS)], *allowed, *paged}
        if outside := sorted(used_indices(layout.data) - dims):
            raise VerifyException(f"the layout of {name} depends on {outside[0]}, which {name} has not")

    def _verify_pages(self) -> None:
        """Every index of pages that is used needs the operand that holds it, and the other way round."""
        in_pages = False
        for name, _, layout in self.layouts():
            if name[0] not in "kv" or name == "kv_lens":
                continue
            used = used_indices(layout.data) & {"page", "slot"}
            if used and self.block_table is None:
                raise VerifyException(f"the layout of {name} uses {min(used)}, but there is no block_table")
            if used and "n" in used_indices(layout.data):
                raise VerifyException(f"the layout of {name} uses n and {min(used)}: n is p * page_size + slot")
            in_pages = in_pages or "page" in used
        if self.block_table_layout is None:
            if self.rows is not None:
                raise VerifyException("rows are given, but there is no block_table of which they could be rows")
            return
        if not in_pages:
            raise VerifyException("block_table is given, but the layouts of k and v do not use page")
        self._verify_dims("block_table", self.block_table_layout, "gh", "row", "p")
        used = used_indices(self.block_table_layout.data)
        if "p" not in used:
            raise VerifyException("the layout of block_table lacks p, the number of a page of a sequence")
        if ("row" in used) != (self.rows is not None):
            found = "uses row, but rows are not given" if "row" in used else "does not use row, but rows are given"
            raise VerifyException(f"the layout of block_table {found}")
        if self.rows_layout is not None:
            self._verify_dims("rows", self.rows_layout, "gh")

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
            if (attr := {"k": self.key_quantization, "v": self.value_quantization}.get(name)) is not None:
                printer.print_string(" quantized(")
                attr.print_fields(printer)
                printer.print_string(")")

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
        self._print_bounds(printer)
        if self.schedule is not None:
            new_line(printer)
            printer.print_string("schedule")
            self.schedule.print_parameters(printer)
        print_extra_attributes(printer, self)

    def _print_bounds(self, printer: Printer) -> None:
        for name, interval in (("reach", self.reach), ("unmasked", self.unmasked)):
            if interval is not None:
                new_line(printer)
                printer.print_string(name)
                with printer.in_parens():
                    interval.print_interval(printer)
        if self.bound_scalars:
            new_line(printer)
            printer.print_string("scalars")
            with printer.in_parens():
                printer.print_list(self.bounds.scalars, lambda scalar: print_scalar(printer, *scalar))


class Clauses:
    """The clauses that sdpa and partial share, as parsed; layouts wait for the batch rank."""

    def __init__(self, parser: Parser):
        self.parser = parser
        self.query = parse_clause(parser, "q")
        self.quantization: dict[str, QuantizationAttr | None] = {}
        self.key = self._parse_quantized("k")
        self.value = self._parse_quantized("v")
        self.block_table = parse_optional_clause(parser, "block_table")
        self.rows = parse_optional_clause(parser, "rows")
        self.kv_lens = parse_optional_clause(parser, "kv_lens")
        self.sinks = parse_optional_clause(parser, "sinks")

    def _parse_quantized(self, name: str) -> list[Clause | None]:
        """K or V, and what stands beside it."""
        parser = self.parser
        clauses: list[Clause | None] = [parse_clause(parser, name)]
        self.quantization[name] = None
        if parser.parse_optional_keyword("quantized") is not None:
            with parser.in_parens():
                self.quantization[name] = QuantizationAttr.new(QuantizationAttr.parse_fields(parser))
        return [*clauses, *(parse_optional_clause(parser, f"{name}_{part}") for part in PARTS)]

    def _clauses(self) -> tuple[Clause | None, ...]:
        return self.query, *self.key, *self.value, self.block_table, self.rows, self.kv_lens, self.sinks

    def parse_score(self) -> None:
        parser = self.parser
        parser.parse_keyword("scale")
        with parser.in_parens():
            self.scale = FloatAttr(float(parser.parse_number()), f64)
        self.score_region = Region()
        self.forms = None
        if parser.parse_optional_keyword("score") is not None:
            if parser.parse_optional_punctuation("(") is not None:
                self.forms = parse_score_forms(parser, accumulator_type(self.query.value.type))
                parser.parse_punctuation(")")
            else:
                self.score_region = parser.parse_region()
        self._parse_bounds()
        self.schedule = None
        if parser.parse_optional_keyword("schedule") is not None:
            self.schedule = ScheduleAttr.parse(parser)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        self.attributes = dict(attributes.data) if attributes is not None else {}

    def _parse_bounds(self) -> None:
        parser = self.parser
        intervals: dict[str, KeyIntervalAttr | None] = {}
        for name in ("reach", "unmasked"):
            intervals[name] = None
            if parser.parse_optional_keyword(name) is not None:
                with parser.in_parens():
                    intervals[name] = parse_interval(parser)
        self.scalars: list[Clause] = []
        if parser.parse_optional_keyword("scalars") is not None:
            self.scalars = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_scalar(parser))
        self.intervals = intervals

    def finish(self, result_layouts: Sequence[NamedTerms] = ()) -> None:
        """Resolves what depends on the batch rank, which results may be the only ones to name."""
        self.batch_rank = batch_rank_of([*(c.layout for c in (*self._clauses(), *self.scalars) if c), *result_layouts])
        if self.forms is not None:
            self.score_region = build_score_region(
                self.forms, self.batch_rank, accumulator_type(self.query.value.type), YieldOp
            )

    def layout(self, layout: NamedTerms) -> AffineMapAttr:
        return resolve_layout(layout, self.batch_rank)

    def operands(self) -> list[SSAValue | list[SSAValue] | None]:
        """The operands, in the order of their definition."""
        return [*(clause.value if clause else None for clause in self._clauses()), self.bounds().operands()]

    def properties(self) -> dict[str, Attribute | None]:
        return {
            **{
                f"{name}_layout": self.layout(clause.layout) if clause else None
                for name, clause in zip(OPERANDS, self._clauses())
            },
            "key_quantization": self.quantization["k"],
            "value_quantization": self.quantization["v"],
            "scale": self.scale,
            "schedule": self.schedule,
            **self.bounds().properties(),
        }

    def bounds(self) -> Bounds:
        scalars = [(scalar.value, self.layout(scalar.layout)) for scalar in self.scalars]
        return Bounds(self.intervals["reach"], self.intervals["unmasked"], scalars)


def verify_lse_type(lse: SSAValue | None, expected: AnyFloat) -> None:
    if lse is not None and (found := cast(TensorOf, lse.type).element_type) != expected:
        raise VerifyException(f"lse has element type {found}, expected {expected}")


def verify_sinks(sinks: SSAValue | None, layout: AffineMapAttr | None) -> None:
    if sinks is None or layout is None:
        return
    element_type = cast(TensorOf, sinks.type).element_type
    if not isinstance(element_type, AnyFloat):
        raise VerifyException(f"sinks has element type {element_type}, expected a float")
    if used_indices(layout.data) & {*"mnkd", *PAGE_INDICES}:
        raise VerifyException("the layout of sinks may use only batch dimensions, h and g")


def verify_covered(layout: AffineMapAttr, sizes: Mapping[str, int], what: str, inner: str, batch_rank: int) -> None:
    """Every iteration dimension of a result must be in its layout, or several values would meet in one element."""
    used = {dim for expr in layout.data.results for dim in expr.used_dims()}
    for position, (name, size) in enumerate(sizes.items()):
        if (position < batch_rank or name in inner) and size != 1 and position not in used:
            raise VerifyException(f"the layout of {what} lacks {name}, which has size {size}")
