"""
The operator `Attention` (opsets 23 to 25) as `attention.sdpa`.

Heads in three dimensions, groups of query heads and the offsets of causal masks become layouts and a score region, so
nothing is transposed, repeated or masked in memory. Where the logits or the probabilities are an output too, the node
is imported as the operator's function body.

Source: https://onnx.ai/onnx/operators/onnx__Attention.html
"""

from __future__ import annotations

import math

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    AffineMapAttr,
    AnyFloat,
    Float64Type,
    FloatAttr,
    IndexType,
    TensorType,
    f64,
)
from xdsl.ir import Region, SSAValue

from flashlower.dialects.attention import SdpaOp, YieldOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, make_layout
from flashlower.dialects.attention.score import (
    Access,
    Bias,
    Causal,
    Mask,
    SoftCap,
    Window,
    extract,
    keep,
    plus,
    score_arg_names,
    score_block,
)
from flashlower.dialects.attention.types import accumulator_type
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value
from flashlower.frontends.sdpa import Shape

table = Table()

B, H, G, M, N, K, D = range(1 + len(INNER_DIMS))


@table.lowers("Attention")
def attention(node: Node) -> list[Value | None] | None:
    if node.opset < 23:
        raise node.error("this operator is new in opset 23")
    if node.attribute("is_causal", 0) not in (0, 1):
        raise node.error(f"is_causal is {node.attribute('is_causal')}, expected 0 or 1")
    if not 0 <= node.attribute("softcap", 0.0) < math.inf:
        raise node.error(f"softcap is {node.attribute('softcap')}, expected 0 (none) or a positive number")
    if node.attribute("qk_matmul_output_mode", 0) not in range(4):
        raise node.error(f"qk_matmul_output_mode is {node.attribute('qk_matmul_output_mode')}, expected 0 to 3")
    if node.has_output(3):
        return None
    b = node.b
    q, k, v = (node.input(i) for i in range(3))
    past_k, past_v, lens = (node.optional(i) for i in (4, 5, 6))
    if not (q.rank == k.rank == v.rank and q.rank in (3, 4)):
        raise node.error(f"Q, K and V have ranks {q.rank}, {k.rank} and {v.rank}, expected 3 or 4 for all")
    if (past_k is None) != (past_v is None):
        raise node.error("past_key and past_value must be given together")
    if lens is not None and past_k is not None:
        raise node.error("nonpad_kv_seqlen says that the cache is outside, and cannot be used with past_key")
    kv_heads = int(node.attribute("kv_num_heads", 0)) if k.rank == 3 else k.shape[1]
    query_heads = int(node.attribute("q_num_heads", 0)) if q.rank == 3 else q.shape[1]
    for name, heads, x in (
        ("q_num_heads", query_heads, q),
        ("kv_num_heads", kv_heads, k),
        ("kv_num_heads", kv_heads, v),
    ):
        given = node.attribute(name, heads)
        if heads <= 0 or given != heads or (x.rank == 3 and x.shape[2] % heads):
            raise node.error(f"{name} is {given}, which does not fit an input of shape {list(x.shape)}")
    if query_heads % kv_heads:
        raise node.error(f"{query_heads} query heads are no multiple of {kv_heads} KV heads")
    if past_k is not None and past_v is not None:
        k, v = (b.concatenate([past, _by_heads(node, x, kv_heads)], 2) for past, x in ((past_k, k), (past_v, v)))
    present = [_by_heads(node, x, kv_heads) if node.has_output(i) else None for i, x in ((1, k), (2, v))]
    shape = _shape_of(q, k, v, query_heads, kv_heads)
    output_type = TensorType(q.element_type, _output_shape(q, shape))
    if node.attribute("softmax_precision") is not None:
        precision = node.element_type(node.attribute("softmax_precision"))
        if not isinstance(precision, AnyFloat):
            raise node.error(f"softmax_precision is {precision}, expected a float type")
        if isinstance(precision, Float64Type):
            # `attention.sdpa` computes in f64 for f64 queries, else in f32, which no other precision exceeds.
            q, k, v = (b.cast(x, f64) for x in (q, k, v))
    offset = 0 if past_k is None else past_k.shape[2]
    score = _score(node, shape, accumulator_type(q.type), offset, lens)
    scale = node.attribute("scale")
    op = SdpaOp(
        b.ssa(q),
        b.ssa(k),
        b.ssa(v),
        _layouts(shape, q.rank == 3, k.rank == 3),
        1 / math.sqrt(shape.head_size) if scale is None else float(scale),
        TensorType(q.element_type, output_type.get_shape()),
        kv_lens=None if lens is None else b.ssa(lens),
        score=score,
    )
    return [b.cast(b.result(op), output_type.element_type), *present]


def _by_heads(node: Node, x: Value, heads: int) -> Value:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    if x.rank == 4:
        return x
    split = node.b.reshape(x, (x.shape[0], x.shape[1], heads, x.shape[2] // heads))
    return node.b.transpose(split, (0, 2, 1, 3))


def _shape_of(q: Value, k: Value, v: Value, query_heads: int, kv_heads: int) -> Shape:
    """The sizes of one attention; `k` and `v` hold the past too."""
    return Shape(
        q.shape[0],
        query_heads,
        kv_heads,
        q.shape[-2] if q.rank == 4 else q.shape[1],
        k.shape[-2] if k.rank == 4 else k.shape[1],
        q.shape[3] if q.rank == 4 else q.shape[2] // query_heads,
        v.shape[3] if v.rank == 4 else v.shape[2] // kv_heads,
    )


def _output_shape(q: Value, shape: Shape) -> list[int]:
    if q.rank == 3:
        return [shape.batch, shape.queries, shape.query_heads * shape.value_size]
    return [shape.batch, shape.query_heads, shape.queries, shape.value_size]


def _layouts(shape: Shape, flat_queries: bool, flat_keys: bool) -> dict[str, AffineMapAttr]:
    """4-D: [b, h, length, size]; flat: [b, length, h * size]."""
    kv_head = [Term(H, 1)]
    query_head = kv_head if shape.group == 1 else [Term(H, shape.group), Term(G, 1)]

    def layout(flat: bool, heads: list[Term], length: int, dim: int, size: int) -> AffineMapAttr:
        if flat:
            column = [*(Term(term.dim, term.stride * size) for term in heads), Term(dim, 1)]
            indices = [[Term(B, 1)], [Term(length, 1)], column]
        else:
            indices = [[Term(B, 1)], heads, [Term(length, 1)], [Term(dim, 1)]]
        return make_layout(1 + len(INNER_DIMS), indices)

    return {
        "q": layout(flat_queries, query_head, M, K, shape.head_size),
        "k": layout(flat_keys, kv_head, N, K, shape.head_size),
        "v": layout(flat_keys, kv_head, N, D, shape.value_size),
        "out": layout(flat_queries, query_head, M, D, shape.value_size),
        "kv_lens": make_layout(1 + len(INNER_DIMS), [[Term(B, 1)]]),
    }


def _score(node: Node, shape: Shape, accumulator: AnyFloat, offset: int, lens: Value | None) -> Region | None:
    """
    Soft cap, then the mask, then the causal mask and the window, as the operator orders them.

    A query's position is m + offset: after the past, or before the end of each sequence of a cache that is outside.
    """
    mask = _mask(node, shape, accumulator)
    left = int(node.attribute("left_window_size", -1))
    right = int(node.attribute("right_window_size", -1))
    if left < -1 or right < -1:
        raise node.error(f"the window is ({left}, {right}); a size is -1 (no bound), 0 or more")
    first = None if left < 0 else -left
    last = None if right < 0 else right
    if node.attribute("is_causal", 0):
        last = 0
    cap = float(node.attribute("softcap", 0.0))
    if cap <= 0 and mask is None and first is None and last is None:
        return None
    captured_lens = None if lens is None or (first is None and last is None) else node.b.ssa(lens)
    block = score_block(1, accumulator)
    args: dict[str, SSAValue] = dict(zip(score_arg_names(1), block.args))
    with ImplicitBuilder(block):
        s: SSAValue = args["s"]
        if cap > 0:
            s = SoftCap(FloatAttr(cap, accumulator)).build(s, args)
        if mask is not None:
            s = mask.build(s, args)
        if captured_lens is not None:
            s = _window_at_end(s, args, captured_lens, shape.queries, first, last)
        else:
            s = _window(s, args, offset, first, last)
        YieldOp(s)
    return Region(block)


def _window(s: SSAValue, args: dict[str, SSAValue], offset: int, first: int | None, last: int | None) -> SSAValue:
    """Keys from m + offset + first to m + offset + last."""
    if first is not None and last is not None:
        return Window(offset + first, offset + last).build(s, args)
    if last is not None:
        return Causal(offset + last).build(s, args)
    if first is not None:
        return keep(arith.CmpiOp(args["n"], plus(args["m"], offset + first), "sge").result, s)
    return s


def _window_at_end(
    s: SSAValue, args: dict[str, SSAValue], lens: SSAValue, queries: int, first: int | None, last: int | None
) -> SSAValue:
    """Keys from p + first to p + last, where the last query's p is the last key of its sequence."""
    length = arith.IndexCastOp(extract(lens, [args["b"]], s.type), IndexType()).result
    position = arith.AddiOp(args["m"], plus(length, -queries)).result
    conditions: list[SSAValue] = [
        arith.CmpiOp(args["n"], plus(position, bound), predicate).result
        for bound, predicate in ((first, "sge"), (last, "sle"))
        if bound is not None
    ]
    return keep(conditions[0] if len(conditions) == 1 else arith.AndIOp(conditions[0], conditions[1]).result, s)


def _mask(node: Node, shape: Shape, accumulator: AnyFloat) -> Mask | Bias | None:
    """A mask or bias that broadcasts to [batch, query heads, queries, keys]."""
    mask = node.optional(3)
    if mask is None:
        return None
    b = node.b
    if not mask.is_bool and (not mask.is_float or isinstance(mask.element_type, Float64Type)):
        mask = b.cast(mask, accumulator)
    if node.opset >= 24 and mask.rank and mask.shape[-1] < shape.keys:
        # Keys without an entry are masked; they count as keys beyond the cache.
        fill = b.like(False if mask.is_bool else -math.inf, mask)
        missing = [0] * (mask.rank - 1) + [shape.keys - mask.shape[-1]]
        mask = b.pad(mask, fill, [0] * mask.rank, missing)
    full = (shape.batch, shape.query_heads, shape.queries, shape.keys)
    names = ("b", "hq", "m", "n")
    if mask.rank > 4 or any(n not in (1, whole) for n, whole in zip(mask.shape[::-1], full[::-1])):
        raise node.error(f"attn_mask has shape {list(mask.shape)}, which does not broadcast to {list(full)}")
    first = 4 - mask.rank
    indices = tuple(None if n == 1 else name for n, name in zip(mask.shape, names[first:]))
    access = Access(b.ssa(mask), indices)
    return Mask(access) if mask.is_bool else Bias(access)
