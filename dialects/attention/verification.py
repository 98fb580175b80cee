"""What the verifiers of `attention.sdpa` and `attention.partial` check alike, and what results and sinks must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from xdsl.dialects import tensor
from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, IndexType, IntegerType, TensorType, i32, i64
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.base import OPTIONAL_OPERANDS, QUANTIZED, AttentionOp, YieldOp
from flashlower.dialects.attention.layout import INNER_DIMS, PAGE_INDICES, dim_names, used_indices
from flashlower.dialects.attention.quantization import (
    PARTS,
    QuantizationAttr,
    verify_codes,
    verify_digits,
    verify_shared,
)
from flashlower.dialects.attention.score import score_arg_names
from flashlower.dialects.attention.types import TensorOf

SCORE_OPS = (tensor.ExtractOp, tensor.DimOp)
"""What a score region may hold besides `arith` and `math`."""


def verify_attention(op: AttentionOp) -> None:
    """Raises `VerifyException` for what breaks a rule that `attention.sdpa` and `attention.partial` share."""
    query, key, value = (cast(TensorOf, v.type) for v in (op.query, op.key, op.value))
    quantized = {"k": op.key_quantization, "v": op.value_quantization}
    for name, type in (("q", query), ("k", key), ("v", value)):
        if quantized.get(name) is None and not isinstance(type.element_type, AnyFloat):
            raise VerifyException(f"{name} has element type {type.element_type}, expected a float")
    if quantized["k"] is None and query.element_type != key.element_type:
        raise VerifyException(f"q has element type {query.element_type} but k has {key.element_type}")
    for name in OPTIONAL_OPERANDS:
        operand: SSAValue | None = getattr(op, name)
        layout: AffineMapAttr | None = getattr(op, f"{name}_layout")
        if (operand is None) != (layout is None):
            raise VerifyException(f"{name} and {name}_layout must be given together")
        if operand is None or name == "sinks":
            continue
        element_type = cast(TensorOf, operand.type).element_type
        if element_type not in (i32, i64):
            raise VerifyException(f"{name} has element type {element_type}, expected i32 or i64")
    if not math.isfinite(op.scale.value.data):
        raise VerifyException(f"scale is {op.scale.value.data}, expected a finite number")
    _verify_quantization(op)
    sizes = op.collect_sizes()
    verify_dims(op, "q", op.query_layout, "ghmk")
    verify_dims(op, "k", op.key_layout, "ghnk", "page", "slot")
    verify_dims(op, "v", op.value_layout, "ghnd", "page", "slot")
    if op.kv_lens_layout is not None:
        verify_dims(op, "kv_lens", op.kv_lens_layout, "gh")
    _verify_pages(op)
    sizes.by_index()
    _verify_score(op)
    _verify_bounds(op)


def _verify_quantization(op: AttentionOp) -> None:
    """What stands beside K and V belongs to a quantised one, and the layouts have digits only where they may."""
    for name, operand, channel in QUANTIZED:
        attr: QuantizationAttr | None = getattr(op, f"{operand}_quantization")
        for part in PARTS:
            value: SSAValue | None = getattr(op, f"{operand}_{part}")
            layout: AffineMapAttr | None = getattr(op, f"{operand}_{part}_layout")
            if (value is None) != (layout is None):
                raise VerifyException(f"{operand}_{part} and {operand}_{part}_layout must be given together")
            if value is not None and attr is None:
                raise VerifyException(f"{name}_{part} is given, but {name} is not quantized")
        if (quantization := op.quantization(name)) is None:
            continue
        codes: SSAValue = getattr(op, operand)
        verify_codes(name, channel, quantization.attr, cast(TensorOf, codes.type), getattr(op, f"{operand}_layout"))
        verify_shared(name, quantization)
        for part, shared in quantization.shared():
            verify_dims(op, f"{name}_{part}", shared.layout, f"ghn{channel}", "page", "slot")
    digits = {"k": "k", "v": "d"}
    for name, _, layout in op.layouts():
        of_codes = digits[name] if name in op.lanes() else ""
        shared = name[:2] in ("k_", "v_")
        verify_digits(name, layout, ("n", "slot", digits[name[0]]) if shared else of_codes, of_codes)


def _verify_bounds(op: AttentionOp) -> None:
    layouts = () if op.bound_scalar_layouts is None else op.bound_scalar_layouts.data
    if len(layouts) != len(op.bound_scalars):
        raise VerifyException(f"{len(op.bound_scalars)} scalars of bounds have {len(layouts)} layouts")
    sizes = op.collect_sizes()
    for i, (value, layout) in enumerate(op.bounds.scalars):
        is_tensor = isinstance(value.type, TensorType)
        element_type = cast(TensorOf, value.type).element_type if is_tensor else value.type
        if not isinstance(element_type, IntegerType | IndexType):
            raise VerifyException(f"s{i} has type {value.type}, expected an integer or a tensor of integers")
        sizes.add(f"s{i}", cast(TensorOf, value.type).get_shape() if is_tensor else (), layout.data)
        verify_dims(op, f"s{i}", layout, "")
    for name, interval in (("reach", op.reach), ("unmasked", op.unmasked)):
        if interval is not None and interval.num_symbols > len(op.bound_scalars):
            raise VerifyException(
                f"{name} reads s{interval.num_symbols - 1}, but has {len(op.bound_scalars)} scalars to read"
            )


def verify_dims(op: AttentionOp, name: str, layout: AffineMapAttr, allowed: str, *paged: str) -> None:
    """Raises `VerifyException` for a dimension that is none of `allowed` and no batch dimension."""
    dims = {*dim_names(layout.data.num_dims - len(INNER_DIMS))[: -len(INNER_DIMS)], *allowed, *paged}
    if outside := sorted(used_indices(layout.data) - dims):
        raise VerifyException(f"the layout of {name} depends on {outside[0]}, which {name} has not")


def _verify_pages(op: AttentionOp) -> None:
    """Every index of pages that is used needs the operand that holds it, and the other way round."""
    in_pages = False
    for name, _, layout in op.layouts():
        if name[0] not in "kv" or name == "kv_lens":
            continue
        used = used_indices(layout.data) & {"page", "slot"}
        if used and op.block_table is None:
            raise VerifyException(f"the layout of {name} uses {min(used)}, but there is no block_table")
        if used and "n" in used_indices(layout.data):
            raise VerifyException(f"the layout of {name} uses n and {min(used)}: n is p * page_size + slot")
        in_pages = in_pages or "page" in used
    if op.block_table_layout is None:
        if op.rows is not None:
            raise VerifyException("rows are given, but there is no block_table of which they could be rows")
        return
    if not in_pages:
        raise VerifyException("block_table is given, but the layouts of k and v do not use page")
    verify_dims(op, "block_table", op.block_table_layout, "gh", "row", "p")
    used = used_indices(op.block_table_layout.data)
    if "p" not in used:
        raise VerifyException("the layout of block_table lacks p, the number of a page of a sequence")
    if ("row" in used) != (op.rows is not None):
        found = "uses row, but rows are not given" if "row" in used else "does not use row, but rows are given"
        raise VerifyException(f"the layout of block_table {found}")
    if op.rows_layout is not None:
        verify_dims(op, "rows", op.rows_layout, "gh")


def _verify_score(op: AttentionOp) -> None:
    if not op.score.blocks:
        return
    if len(op.score.blocks) != 1:
        raise VerifyException(f"the score region has {len(op.score.blocks)} blocks, expected 1")
    block = op.score.block
    expected = [op.accumulator_type, *[IndexType()] * (op.batch_rank + 3)]
    if list(block.arg_types) != expected:
        raise VerifyException(
            "the score region has arguments ("
            + ", ".join(map(str, block.arg_types))
            + "), expected ("
            + ", ".join(map(str, expected))
            + ") for "
            + ", ".join(score_arg_names(op.batch_rank))
        )
    terminator = block.last_op
    if not isinstance(terminator, YieldOp):
        raise VerifyException("the score region must end with attention.yield")
    if terminator.value.type != op.accumulator_type:
        raise VerifyException(f"the score region yields {terminator.value.type}, expected {op.accumulator_type}")
    for inner in block.ops:
        if inner is not terminator and not (inner.name.startswith(("arith.", "math.")) or isinstance(inner, SCORE_OPS)):
            raise VerifyException(
                f"{inner.name} in a score region; it may hold operations of arith and math, "
                "tensor.extract and tensor.dim"
            )
        if isinstance(inner, tensor.ExtractOp):
            type = cast(TensorOf, inner.tensor.type)
            if len(inner.indices) != type.get_num_dims():
                raise VerifyException(f"{type} is read at {len(inner.indices)} indices, expected {type.get_num_dims()}")


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
