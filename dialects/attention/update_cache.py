"""`attention.update_cache`: new keys or values into a cache, quantised on the way where the cache is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    AnyFloat,
    BFloat16Type,
    Float16Type,
    Float32Type,
    IntegerType,
    Signedness,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    AttrSizedResultSegments,
    IRDLOperation,
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
from xdsl.utils.hints import isa

from flashlower.dialects.attention.assembly import (
    Clause,
    new_line,
    parse_clause,
    parse_optional_clause,
    print_clause,
    print_extra_attributes,
)
from flashlower.dialects.attention.layout import (
    INNER_DIMS,
    DimSizes,
    batch_rank_of,
    dim_names,
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
    verify_codes,
    verify_digits,
    verify_shared,
)
from flashlower.dialects.attention.quantizer import (
    QuantizerAttr,
    Rounding,
    Scaling,
    code_range,
    symmetric_limit,
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

INTEGER_OPERANDS = ("block_table", "rows", "positions", "slots")


@dataclass(frozen=True)
class Groups:
    """How many neighbours share a scale that is made for them: tokens, and channels."""

    tokens: int
    channels: int


@irdl_op_definition
class UpdateCacheOp(IRDLOperation):
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

    # What passes and kernels ask.

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        return self.new_layout.data.num_dims - len(INNER_DIMS)

    @property
    def channel(self) -> str:
        """The dimension of channels: "d" where `new` has it, else "k"."""
        return "d" if "d" in used_indices(self.new_layout.data) else "k"

    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
        """Every operand: its name, the value, the layout."""
        found: list[tuple[str, SSAValue, AffineMapAttr]] = []
        for name in OPERANDS:
            value, layout = getattr(self, name), getattr(self, f"{name}_layout")
            if value is not None and layout is not None:
                found.append((name, value, layout))
        return found

    def dim_sizes(self) -> dict[str, int]:
        """Sizes of the iteration dimensions, `DYNAMIC_INDEX` where unknown; raises `VerifyException`."""
        return self.collect_sizes().by_name()

    def index_sizes(self) -> dict[str, int]:
        """`dim_sizes`, and the sizes of the indices of pages: row, p, page and slot."""
        return self.collect_sizes().by_index()

    def lanes(self) -> dict[str, int]:
        """How many codes an element of a quantised cache holds, as `DimSizes` asks for it."""
        if self.quantization is None:
            return {}
        return {"cache": lanes_of(self.quantization, cast(TensorOf, self.cache.type).element_type)}

    def collect_sizes(self) -> DimSizes:
        sizes = DimSizes.of(self.batch_rank, self.lanes())
        for name, value, layout in self.layouts():
            sizes.add(name, cast(TensorOf, value.type).get_shape(), layout.data)
        return sizes

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

    # Verification.

    def verify_(self) -> None:
        for name in OPERANDS:
            if (getattr(self, name) is None) != (getattr(self, f"{name}_layout") is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
        self._verify_types()
        self._verify_quantized()
        sizes = self.collect_sizes()
        self._verify_dims()
        self._verify_places()
        sizes.by_index()
        self._verify_covered()
        self._verify_quantizer()
        for operand, result in self.updates():
            if operand.type != result.type:
                raise VerifyException(f"a result has type {result.type}, expected {operand.type} of its operand")

    def _verify_types(self) -> None:
        new, cache = (cast(TensorOf, value.type).element_type for value in (self.new, self.cache))
        if not isinstance(new, AnyFloat):
            raise VerifyException(f"new has element type {new}, expected a float")
        if self.quantization is None:
            if isinstance(cache, AnyFloat) and cache.bitwidth == 8:
                raise VerifyException(f"cache has element type {cache}, but is not quantized; expected quantized codes")
            if not isinstance(cache, AnyFloat):
                raise VerifyException(f"cache has element type {cache}, but is not quantized; expected a float")
        elif not isinstance(new, Float16Type | BFloat16Type | Float32Type):
            raise VerifyException(f"new has element type {new}, expected f16, bf16 or f32 to quantize")
        for name in INTEGER_OPERANDS:
            value: SSAValue | None = getattr(self, name)
            if value is not None and (element := cast(TensorOf, value.type).element_type) not in (i32, i64):
                raise VerifyException(f"{name} has element type {element}, expected i32 or i64")

    def _verify_quantized(self) -> None:
        if (self.quantization is None) != (self.quantizer is None):
            given, lacking = ("quantized", "a quantizer") if self.quantizer is None else ("a quantizer", "quantized")
            raise VerifyException(f"{given} is given without {lacking}")
        quantization = self.parts()
        if quantization is None:
            for part in PARTS:
                if getattr(self, f"cache_{part}") is not None:
                    raise VerifyException(f"cache_{part} is given, but cache is not quantized")
        else:
            cache = cast(TensorOf, self.cache.type)
            verify_codes("cache", self.channel, quantization.attr, cache, self.cache_layout)
            verify_shared("cache", quantization)
        channel = self.channel
        for name, _, layout in self.layouts():
            of_codes = channel if name == "cache" and quantization is not None else ""
            verify_digits(name, layout, ("n", "slot", channel) if name.startswith("cache_") else of_codes, of_codes)

    def _verify_dims(self) -> None:
        """Every layout uses what its operand may depend on."""
        inner = ("h", "n", self.channel, "page", "slot")
        allowed = {
            "new": ("h", "m", self.channel),
            "cache": inner,
            **{f"cache_{part}": inner for part in PARTS},
            "block_table": ("h", "row", "p"),
            "rows": ("h",),
            "positions": ("m",),
            "slots": ("m",),
        }
        for name, _, layout in self.layouts():
            batch = dim_names(self.batch_rank)[: self.batch_rank]
            if outside := sorted(used_indices(layout.data) - {*batch, *allowed[name]}):
                raise VerifyException(f"the layout of {name} depends on {outside[0]}, which {name} has not")

    def _verify_places(self) -> None:
        """There is one way to find the place of a token."""
        if (self.positions is None) == (self.slots is None):
            found = "neither is" if self.positions is None else "both are"
            raise VerifyException(f"expected positions or slots, but {found} given")
        used = used_indices(self.cache_layout.data)
        paged = bool(used & {"page", "slot"})
        if paged == ("n" in used):
            raise VerifyException(
                "the layout of cache uses n and page, expected one of them"
                if paged
                else ("the layout of cache uses neither n nor page, so tokens have no place in it")
            )
        if "page" not in used and paged:
            raise VerifyException("the layout of cache uses slot, but not page")
        if self.slots is not None and not paged:
            raise VerifyException("slots are numbers in a pool, but the layout of cache uses n; give positions")
        if (self.block_table is not None) != (paged and self.slots is None):
            reason = "slots say where tokens go" if self.slots is not None else "the layout of cache uses n"
            raise VerifyException(
                f"block_table is given, but {reason}"
                if self.block_table is not None
                else "the layout of cache uses page, but there is neither a block_table nor slots"
            )
        for name, _, layout in self.layouts():
            shared = used_indices(layout.data) & {"n", "page", "slot"}
            if not name.startswith("cache_"):
                continue
            if self.slots is not None and "n" in shared:
                raise VerifyException(f"the layout of {name} uses n, which is not known by slots")
            if not paged and shared & {"page", "slot"}:
                raise VerifyException(f"the layout of {name} uses {min(shared - {'n'})}, but cache lies in no pages")
            if "slot" in shared and "page" not in shared:
                raise VerifyException(f"the layout of {name} uses slot, but not page")
        table = set[str]() if self.block_table_layout is None else used_indices(self.block_table_layout.data)
        if self.block_table is not None and "p" not in table:
            raise VerifyException("the layout of block_table lacks p, the number of a page of a sequence")
        if ("row" in table) != (self.rows is not None):
            found = "uses row, but rows are not given" if "row" in table else "does not use row, but rows are given"
            raise VerifyException(f"the layout of block_table {found}")

    def _verify_covered(self) -> None:
        """Tokens and heads have places of their own."""
        sizes = self.dim_sizes()
        used = used_indices(self.cache_layout.data)
        batch = tuple(sizes)[: self.batch_rank]
        for dim in (*(() if "page" in used else batch), "h", self.channel):
            if sizes[dim] != 1 and dim not in used:
                raise VerifyException(f"the layout of cache lacks {dim}, which has size {sizes[dim]}")
        if self.slots_layout is not None:
            for dim in (*batch, "m"):
                if sizes[dim] != 1 and dim not in used | used_indices(self.slots_layout.data):
                    raise VerifyException(f"the layout of slots lacks {dim}, which has size {sizes[dim]}")

    def _verify_quantizer(self) -> None:
        quantization, quantizer = self.parts(), self.quantizer
        if quantization is None or quantizer is None:
            return
        attr, scaling = quantization.attr, quantizer.scaling
        if attr.is_float and quantizer.rounding is not Rounding.TO_NEAREST_EVEN:
            raise VerifyException(
                f"codes of type {attr.code_name} are rounded to_nearest_even, not {quantizer.rounding}"
            )
        if scaling is Scaling.GIVEN:
            return
        if quantization.scale is None:
            raise VerifyException(f"{scaling} makes scales, but there is no cache_scale; expected given")
        beside = [part for part, _ in quantization.shared() if part != "scale"]
        if scaling is Scaling.SYMMETRIC:
            if beside:
                raise VerifyException(f"symmetric makes no cache_{beside[0]}; expected asymmetric or given")
            if symmetric_limit(attr) < 1:
                raise VerifyException(
                    f"symmetric codes lie on both sides of zero, but {attr.code_name} has none below "
                    f"zero = {attr.zero.data}"
                )
        else:
            if attr.is_float:
                raise VerifyException(f"asymmetric makes integer codes, not {attr.code_name}")
            if len(beside) != 1 or attr.zero.data:
                raise VerifyException("asymmetric needs cache_zero or cache_offset, and no constant zero")
            if quantization.offset is not None and attr.is_signed:
                raise VerifyException(f"cache_offset is that of unsigned codes, not {attr.code_name}; give cache_zero")
        self._verify_made(quantization)

    def _verify_made(self, quantization: Quantization) -> None:
        """Scales that are made have groups of one head, whose tokens come together."""
        sizes = self.index_sizes()
        assert quantization.scale is not None
        scale = quantization.scale
        for part, shared in quantization.shared():
            name = f"cache_{part}"
            element = cast(TensorOf, shared.value.type).element_type
            if isa(element, IntegerType):
                low, high = code_range(quantization.attr)
                bits = element.width.data
                unsigned = element.signedness.data is Signedness.UNSIGNED
                least, most = (0, (1 << bits) - 1) if unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)
                if low < least or high > most:
                    raise VerifyException(f"{name} has element type {element}, which does not hold {low} to {high}")
            elif not isinstance(element, Float16Type | BFloat16Type | Float32Type):
                raise VerifyException(f"{name} has element type {element}, expected f16, bf16 or f32 to make it")
            if (shared.channel_group, shared.token_group) != (scale.channel_group, scale.token_group):
                raise VerifyException(f"{name} has other groups than cache_scale")
            used = used_indices(shared.layout.data)
            if sizes["h"] != 1 and "h" not in used:
                raise VerifyException(f"{name} is shared by all heads, so it cannot be made for new tokens: give it")
            batch = tuple(sizes)[: self.batch_rank]
            if "page" not in used and ("n" not in used or any(sizes[dim] != 1 and dim not in used for dim in batch)):
                raise VerifyException(
                    f"{name} is shared by tokens that are stored already, so it cannot be made for new ones: give it"
                )
        groups = self.groups()
        assert groups is not None
        if groups.tokens == 1:
            return
        tokens = sizes["m"]
        if tokens == DYNAMIC_INDEX or tokens % groups.tokens:
            size = "a dynamic number of" if tokens == DYNAMIC_INDEX else str(tokens)
            raise VerifyException(
                f"cache_scale is made for groups of {groups.tokens} tokens, but there are {size} new tokens; expected "
                "whole groups"
            )
        if self.positions_layout is None or "m" in used_indices(self.positions_layout.data):
            raise VerifyException(
                f"groups of {groups.tokens} tokens need the positions of first tokens: positions without m"
            )

    # Assembly format.

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
