"""What `attention.sdpa` and `attention.partial` share: operands, layouts, the score region, questions about them."""

from __future__ import annotations

from abc import ABC
from typing import cast

from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, ArrayAttr, FloatAttr, TensorType
from xdsl.ir import Operation, SSAValue
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
from xdsl.pattern_rewriter import RewritePattern
from xdsl.traits import HasCanonicalizationPatternsTrait, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.bounds import Bounds, KeyIntervalAttr
from flashlower.dialects.attention.iteration import IterationOp
from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.dialects.attention.quantization import (
    PARTS,
    Packing,
    Quantization,
    QuantizationAttr,
    Shared,
    lanes_of,
    packing_of,
)
from flashlower.dialects.attention.types import TensorOf, accumulator_type

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


class AttentionOp(IterationOp, ABC):
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
        return self.query_layout.data.num_dims - len(INNER_DIMS)

    @property
    def accumulator_type(self) -> AnyFloat:
        """The type of logits, sums and LSE: f32, or f64 where the query is f64."""
        return accumulator_type(self.query.type)

    def layouts(self) -> list[tuple[str, SSAValue, AffineMapAttr]]:
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
        if self.key_quantization is None and self.value_quantization is None:
            return {}
        attrs = {"k": (self.key_quantization, self.key), "v": (self.value_quantization, self.value)}
        return {
            name: lanes_of(attr, cast(TensorOf, codes.type).element_type)
            for name, (attr, codes) in attrs.items()
            if attr is not None
        }

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

    @property
    def bounds(self) -> Bounds:
        """What is known of the keys of a block of queries."""
        if self.bound_scalar_layouts is None:
            return Bounds(self.reach, self.unmasked)
        scalars = zip(self.bound_scalars, self.bound_scalar_layouts, strict=True)
        return Bounds(self.reach, self.unmasked, list(scalars))
