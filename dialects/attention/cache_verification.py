"""What the verifier of `attention.update_cache` checks: types, layouts, places of tokens, and what is made for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    BFloat16Type,
    Float16Type,
    Float32Type,
    IntegerType,
    Signedness,
    i32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.attention.layout import dim_names, used_indices
from flashlower.dialects.attention.quantization import (
    PARTS,
    Quantization,
    verify_codes,
    verify_digits,
    verify_shared,
)
from flashlower.dialects.attention.quantizer import Rounding, Scaling, code_range, symmetric_limit
from flashlower.dialects.attention.types import TensorOf

if TYPE_CHECKING:
    from flashlower.dialects.attention.update_cache import UpdateCacheOp

INTEGER_OPERANDS = ("block_table", "rows", "positions", "slots")


def verify_update_cache(op: UpdateCacheOp) -> None:
    """Raises `VerifyException` for an operation that breaks a rule of `UpdateCacheOp`."""
    _verify_types(op)
    _verify_quantized(op)
    sizes = op.collect_sizes()
    _verify_dims(op)
    _verify_places(op)
    sizes.by_index()
    _verify_covered(op)
    _verify_quantizer(op)
    for operand, result in op.updates():
        if operand.type != result.type:
            raise VerifyException(f"a result has type {result.type}, expected {operand.type} of its operand")


def _verify_types(op: UpdateCacheOp) -> None:
    new, cache = (cast(TensorOf, value.type).element_type for value in (op.new, op.cache))
    if not isinstance(new, AnyFloat):
        raise VerifyException(f"new has element type {new}, expected a float")
    if op.quantization is None:
        if isinstance(cache, AnyFloat) and cache.bitwidth == 8:
            raise VerifyException(f"cache has element type {cache}, but is not quantized; expected quantized codes")
        if not isinstance(cache, AnyFloat):
            raise VerifyException(f"cache has element type {cache}, but is not quantized; expected a float")
    elif not isinstance(new, Float16Type | BFloat16Type | Float32Type):
        raise VerifyException(f"new has element type {new}, expected f16, bf16 or f32 to quantize")
    for name in INTEGER_OPERANDS:
        value: SSAValue | None = getattr(op, name)
        if value is not None and (element := cast(TensorOf, value.type).element_type) not in (i32, i64):
            raise VerifyException(f"{name} has element type {element}, expected i32 or i64")


def _verify_quantized(op: UpdateCacheOp) -> None:
    if (op.quantization is None) != (op.quantizer is None):
        given, lacking = ("quantized", "a quantizer") if op.quantizer is None else ("a quantizer", "quantized")
        raise VerifyException(f"{given} is given without {lacking}")
    quantization = op.parts()
    if quantization is None:
        for part in PARTS:
            if getattr(op, f"cache_{part}") is not None:
                raise VerifyException(f"cache_{part} is given, but cache is not quantized")
    else:
        cache = cast(TensorOf, op.cache.type)
        verify_codes("cache", op.channel, quantization.attr, cache, op.cache_layout)
        verify_shared("cache", quantization)
    channel = op.channel
    for name, _, layout in op.layouts():
        of_codes = channel if name == "cache" and quantization is not None else ""
        verify_digits(name, layout, ("n", "slot", channel) if name.startswith("cache_") else of_codes, of_codes)


def _verify_dims(op: UpdateCacheOp) -> None:
    """Every layout uses what its operand may depend on."""
    inner = ("h", "n", op.channel, "page", "slot")
    allowed = {
        "new": ("h", "m", op.channel),
        "cache": inner,
        **{f"cache_{part}": inner for part in PARTS},
        "block_table": ("h", "row", "p"),
        "rows": ("h",),
        "positions": ("m",),
        "slots": ("m",),
    }
    for name, _, layout in op.layouts():
        batch = dim_names(op.batch_rank)[: op.batch_rank]
        if outside := sorted(used_indices(layout.data) - {*batch, *allowed[name]}):
            raise VerifyException(f"the layout of {name} depends on {outside[0]}, which {name} has not")


def _verify_places(op: UpdateCacheOp) -> None:
    """There is one way to find the place of a token."""
    if (op.positions is None) == (op.slots is None):
        found = "neither is" if op.positions is None else "both are"
        raise VerifyException(f"expected positions or slots, but {found} given")
    used = used_indices(op.cache_layout.data)
    paged = bool(used & {"page", "slot"})
    if paged == ("n" in used):
        raise VerifyException(
            "the layout of cache uses n and page, expected one of them"
            if paged
            else ("the layout of cache uses neither n nor page, so tokens have no place in it")
        )
    if "page" not in used and paged:
        raise VerifyException("the layout of cache uses slot, but not page")
    if op.slots is not None and not paged:
        raise VerifyException("slots are numbers in a pool, but the layout of cache uses n; give positions")
    if (op.block_table is not None) != (paged and op.slots is None):
        reason = "slots say where tokens go" if op.slots is not None else "the layout of cache uses n"
        raise VerifyException(
            f"block_table is given, but {reason}"
            if op.block_table is not None
            else "the layout of cache uses page, but there is neither a block_table nor slots"
        )
    for name, _, layout in op.layouts():
        shared = used_indices(layout.data) & {"n", "page", "slot"}
        if not name.startswith("cache_"):
            continue
        if op.slots is not None and "n" in shared:
            raise VerifyException(f"the layout of {name} uses n, which is not known by slots")
        if not paged and shared & {"page", "slot"}:
            raise VerifyException(f"the layout of {name} uses {min(shared - {'n'})}, but cache lies in no pages")
        if "slot" in shared and "page" not in shared:
            raise VerifyException(f"the layout of {name} uses slot, but not page")
    table = set[str]() if op.block_table_layout is None else used_indices(op.block_table_layout.data)
    if op.block_table is not None and "p" not in table:
        raise VerifyException("the layout of block_table lacks p, the number of a page of a sequence")
    if ("row" in table) != (op.rows is not None):
        found = "uses row, but rows are not given" if "row" in table else "does not use row, but rows are given"
        raise VerifyException(f"the layout of block_table {found}")


def _verify_covered(op: UpdateCacheOp) -> None:
    """Tokens and heads have places of their own."""
    sizes = op.dim_sizes()
    used = used_indices(op.cache_layout.data)
    batch = tuple(sizes)[: op.batch_rank]
    for dim in (*(() if "page" in used else batch), "h", op.channel):
        if sizes[dim] != 1 and dim not in used:
            raise VerifyException(f"the layout of cache lacks {dim}, which has size {sizes[dim]}")
    if op.slots_layout is not None:
        for dim in (*batch, "m"):
            if sizes[dim] != 1 and dim not in used | used_indices(op.slots_layout.data):
                raise VerifyException(f"the layout of slots lacks {dim}, which has size {sizes[dim]}")


def _verify_quantizer(op: UpdateCacheOp) -> None:
    quantization, quantizer = op.parts(), op.quantizer
    if quantization is None or quantizer is None:
        return
    attr, scaling = quantization.attr, quantizer.scaling
    if attr.is_float and quantizer.rounding is not Rounding.TO_NEAREST_EVEN:
        raise VerifyException(f"codes of type {attr.code_name} are rounded to_nearest_even, not {quantizer.rounding}")
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
    _verify_made(op, quantization)


def _verify_made(op: UpdateCacheOp, quantization: Quantization) -> None:
    """Scales that are made have groups of one head, whose tokens come together."""
    sizes = op.index_sizes()
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
        batch = tuple(sizes)[: op.batch_rank]
        if "page" not in used and ("n" not in used or any(sizes[dim] != 1 and dim not in used for dim in batch)):
            raise VerifyException(
                f"{name} is shared by tokens that are stored already, so it cannot be made for new ones: give it"
            )
    groups = op.groups()
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
    if op.positions_layout is None or "m" in used_indices(op.positions_layout.data):
        raise VerifyException(
            f"groups of {groups.tokens} tokens need the positions of first tokens: positions without m"
        )
