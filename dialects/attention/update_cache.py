"""`attention.update_cache`: new keys or values into a cache, quantised on the way where the cache is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from xdsl.dialects.builtin import (
    AffineMapAttr,
    TensorType,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    AttrSizedResultSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
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
    Clause,
    new_line,
    parse_clause,
    parse_optional_clause,
    print_clause,
    print_extra_attributes,
)
from flashlower.dialects.attention.cache_verification import verify_update_cache
from flashlower.dialects.attention.iteration import IterationOp
from flashlower.dialects.attention.layout import (
    INNER_DIMS,
    batch_rank_of,
    resolve_layout,
    used_indices,
)
from flashlower.dialects.attention.quantization import (
    PARTS,
    Packing,
    Part,
    Quantization,
    QuantizationAttr,
    Shared,
    lanes_of,
    packing_of,
)
from flashlower.dialects.attention.quantizer import (
    QuantizerAttr,
    Scaling,
)
from flashlower.dialects.attention.types import TensorOf

OPERANDS = (
    "new",
    "cache",
    "cache_scale",
    "cache_zero",
    "cache_offset",
    "block_table",
    "rows",
    "positions",
    "slots",
)
"""The operands in order, each with a property `<name>_layout`; the names stand in the assembly format too."""


@dataclass(frozen=True)
class Groups:
    """How many neighbours share a scale that is made for them: tokens, and channels."""

    tokens: int
    channels: int


@irdl_op_definition
class UpdateCacheOp(IterationOp):
    """
    New keys or values, stored in a cache at the places of their tokens.

    The op is that of K or of V: `new` has the tokens m = 0..M-1 of every batch index and head, and channels k (or d);
    `cache` is laid out, packed and quantised as the K (or V) of `attention.sdpa` that will read it. Results are the
    cache, and the scales, zero points and offsets that were made, with all else as it was; kernels write in place.

    Where token m goes is said by one of two operands:

    - `positions`, of the keys of a sequence, which attention counts as n. A layout without m (`%first[b]`) holds that
      of the first token: n = first + m, so `first` is the length before the call (-3: the first three tokens are
      padding). With m (`%positions[b, m]`) every token has its own. The cache is indexed by n, or by page and slot
      through `block_table` and `rows`, as in `attention.sdpa`.
    - `slots`, numbers in a pool: page = slots floordiv S, slot = slots mod S, with S the size of `slot`.

    A token without a place is not stored: where its position or slot is negative (-1 says so) or beyond the cache, or
    the block table has no page for it. No two tokens may have one place.

    Without `quantized`, values are converted to the element type of the cache, to nearest even. With it, a group is all
    that shares an element of `cache_scale` by its layout; in f32 throughout:

    - `symmetric`: scale = max |x| / Q, with Q the largest distance from `zero` that codes have on both sides (7 for u4
      with zero 7, 127 for i8, 448 for e4m3, 57344 for e5m2); code = zero + r(x / scale), clamped to zero - Q..zero + Q.
    - `asymmetric` with `cache_offset` (unsigned codes 0..C): scale = (max x - min x) / C, offset = min x;
      code = r((x - offset) / scale), clamped to 0..C.
    - `asymmetric` with `cache_zero` (codes L..H): scale = (max(x, 0) - min(x, 0)) / (H - L),
      zero = r(L - min(x, 0) / scale), clamped to L..H; code = zero + r(x / scale), clamped to L..H.
    - `given`: scale (1 where absent), zero and offset are read; code = zero + r((x - offset) / scale), clamped to all
      codes.

    Divisions are those of IEEE 754. Scales and offsets are rounded to nearest even in their types, and codes are made
    with the rounded ones. r is the rounding of `quantizer`: to_nearest_even, or toward_zero. Codes of 8-bit floats are
    rounded to nearest even, and saturate at the largest finite one.

    - Infinities saturate: in maxima and minima they count as the largest finite number of the type of `new`, and their
      code is the outermost. A scale or offset too large for its type is the largest finite number of that type.
    - A NaN makes the scale (and offset) of its group NaN, and so all that is read of the group. With given scales, a
      NaN is stored as a NaN of 8-bit floats, or as the integer code of 0.
    - A scale of 0 (a group of zeros, or so small that the scale's type has nothing for it) takes every quotient for 0.
      Denormals are numbers like others.

    Made scales are those of one token and head, or of smaller groups of channels; also of T tokens, which come in
    whole, aligned groups then: T divides M, `positions` are those of first tokens, and multiples of T.
    NumPy's interpreter refuses others; a kernel does not store them.
    """

    name = "attention.update_cache"

    new = operand_def(TensorType)
    cache = operand_def(TensorType)
    cache_scale = opt_operand_def(TensorType)
    cache_zero = opt_operand_def(TensorType)
    cache_offset = opt_operand_def(TensorType)
    block_table = opt_operand_def(TensorType)
    rows = opt_operand_def(TensorType)
    positions = opt_operand_def(TensorType)
    slots = opt_operand_def(TensorType)

    new_layout = prop_def(AffineMapAttr)
    cache_layout = prop_def(AffineMapAttr)
    cache_scale_layout = opt_prop_def(AffineMapAttr)
    cache_zero_layout = opt_prop_def(AffineMapAttr)
    cache_offset_layout = opt_prop_def(AffineMapAttr)
    block_table_layout = opt_prop_def(AffineMapAttr)
    rows_layout = opt_prop_def(AffineMapAttr)
    positions_layout = opt_prop_def(AffineMapAttr)
    slots_layout = opt_prop_def(AffineMapAttr)
    quantization = opt_prop_def(QuantizationAttr)
    quantizer = opt_prop_def(QuantizerAttr)

    updated_cache = result_def(TensorType)
    updated_scale = opt_result_def(TensorType)
    updated_zero = opt_result_def(TensorType)
    updated_offset = opt_result_def(TensorType)

    irdl_options = (AttrSizedOperandSegments(as_property=True), AttrSizedResultSegments(as_property=True))
    traits = traits_def(Pure())

    def __init__(
        self,
        operands: Mapping[str, SSAValue | None],
        layouts: Mapping[str, AffineMapAttr],
        *,
        quantization: QuantizationAttr | None = None,
        quantizer: QuantizerAttr | None = None,
    ):
        """`operands` and `layouts` by the names in `OPERANDS`."""
        values = [operands.get(name) for name in OPERANDS]
        makes = quantizer is not None and quantizer.scaling is not Scaling.GIVEN
        made = [operands.get(f"cache_{part}") if makes else None for part in PARTS]
        cache = operands.get("cache")
        super().__init__(
            operands=values,
            result_types=[value and value.type for value in (cache, *made)],
            properties={
                **{f"{name}_layout": layouts[name] for name, value in zip(OPERANDS, values) if value is not None},
                "quantization": quantization,
                "quantizer": quantizer,
            },
        )

    @property
    def batch_rank(self) -> int:
        return self.new_layout.data.num_dims - len(INNER_DIMS)

    @property
    def channel(self) -> str:
        """The dimension of channels: "d" where `new` has it, else "k"."""
        return "d" if "d" in used_indices(self.new_layout.data) else "k"

    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
        found: list[tuple[str, SSAValue, AffineMapAttr]] = []
        for name in OPERANDS:
            value, layout = getattr(self, name), getattr(self, f"{name}_layout")
            if value is not None and layout is not None:
                found.append((name, value, layout))
        return found

    def lanes(self) -> dict[str, int]:
        if self.quantization is None:
            return {}
        return {"cache": lanes_of(self.quantization, cast(TensorOf, self.cache.type).element_type)}

    def parts(self) -> Quantization | None:
        """How the cache is quantised, with the operands beside the codes; None where it is not."""
        if self.quantization is None:
            return None
        shared: dict[str, Shared] = {}
        for part in PARTS:
            value, layout = getattr(self, f"cache_{part}"), getattr(self, f"cache_{part}_layout")
            if value is not None and layout is not None:
                shared[part] = Shared(value, layout)
        return Quantization(self.quantization, **shared)

    def packing(self) -> Packing | None:
        """Where codes lie, None where there are none."""
        if self.quantization is None:
            return None
        size = self.dim_sizes()[self.channel]
        return packing_of(self.quantization, cast(TensorOf, self.cache.type), self.cache_layout, self.channel, size)

    def made(self) -> dict[Part, SSAValue]:
        """The results besides the cache, by what they are."""
        results = {"scale": self.updated_scale, "zero": self.updated_zero, "offset": self.updated_offset}
        return {part: value for part in PARTS if (value := results[part]) is not None}

    def updates(self) -> list[tuple[SSAValue, SSAValue]]:
        """Every operand that is updated, with its result."""
        pairs: list[tuple[SSAValue, SSAValue]] = [(self.cache, self.updated_cache)]
        for part, result in self.made().items():
            pairs.append((cast(SSAValue, getattr(self, f"cache_{part}")), result))
        return pairs

    def groups(self) -> Groups | None:
        """The groups that scales are made for, None where none are made."""
        parts = self.parts()
        if parts is None or parts.scale is None or not self.made():
            return None
        sizes = self.index_sizes()
        tokens = parts.scale.token_group
        if tokens is None:
            tokens = sizes["slot"]
        channels = parts.scale.channel_group
        return Groups(tokens, sizes[self.channel] if channels is None else channels)

    def verify_(self) -> None:
        for name in OPERANDS:
            if (getattr(self, name) is None) != (getattr(self, f"{name}_layout") is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
        verify_update_cache(self)

    def print(self, printer: Printer) -> None:
        for name, value, layout in self.layouts():
            print_clause(printer, name, value, layout)
            if name == "cache" and self.quantization is not None:
                printer.print_string(" quantized(")
                self.quantization.print_fields(printer)
                printer.print_string(")")
        if self.quantizer is not None:
            new_line(printer)
            printer.print_string("quantizer")
            with printer.in_parens():
                self.quantizer.print_fields(printer)
        print_extra_attributes(printer, self)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        quantization: QuantizationAttr | None = None
        quantizer: QuantizerAttr | None = None
        clauses: dict[str, Clause] = {}
        for name in OPERANDS:
            found = parse_clause(parser, name) if name in ("new", "cache") else parse_optional_clause(parser, name)
            if found is not None:
                clauses[name] = found
            if name == "cache" and parser.parse_optional_keyword("quantized") is not None:
                with parser.in_parens():
                    quantization = QuantizationAttr.new(QuantizationAttr.parse_fields(parser))
        if parser.parse_optional_keyword("quantizer") is not None:
            with parser.in_parens():
                quantizer = QuantizerAttr.parse_fields(parser)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        rank = batch_rank_of([clause.layout for clause in clauses.values()])
        op = cls(
            {name: clause.value for name, clause in clauses.items()},
            {name: resolve_layout(clause.layout, rank) for name, clause in clauses.items()},
            quantization=quantization,
            quantizer=quantizer,
        )
        op.attributes = {} if attributes is None else dict(attributes.data)
        return op
