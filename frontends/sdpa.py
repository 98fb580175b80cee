"""`attention.sdpa` from tensors: the module that `flashlower.attention` compiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, cast

from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, FunctionType, ModuleOp, TensorType, f32, i32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, make_layout
from flashlower.frontends.score import ScoreFunction, Trace
from flashlower.frontends.tensors import Tensor, tensor_type

Layout = Literal["bhsd", "bshd"]
TensorOf = TensorType[Attribute]

B, H, G, M, N, K, D = range(1 + len(INNER_DIMS))


@dataclass
class Attention:
    """A module with one attention function, and the tensors to call it with, in the order of its arguments."""

    module: ModuleOp
    arguments: list[Tensor] = field(default_factory=list[Tensor])


@dataclass(frozen=True)
class Shape:
    """The sizes of one attention call."""

    batch: int
    query_heads: int
    kv_heads: int
    queries: int
    keys: int
    head_size: int
    value_size: int

    @property
    def group(self) -> int:
        """Query heads of one KV head."""
        return self.query_heads // self.kv_heads


def _shape_of(q: TensorOf, k: TensorOf, v: TensorOf, layout: Layout) -> Shape:
    if layout not in ("bhsd", "bshd"):
        raise ValueError(f"layout is {layout!r}, expected 'bhsd' or 'bshd'")
    for name, type in (("q", q), ("k", k), ("v", v)):
        if type.get_num_dims() != 4:
            raise ValueError(f"{name} has shape {list(type.get_shape())}, expected 4 dimensions ({layout})")
        if not isinstance(type.element_type, AnyFloat):
            raise TypeError(f"{name} has elements of type {type.element_type}, expected floats")
    heads, length = (1, 2) if layout == "bhsd" else (2, 1)
    qs, ks, vs = q.get_shape(), k.get_shape(), v.get_shape()
    for what, a, b in (
        ("batch of q and k", qs[0], ks[0]),
        ("batch of k and v", ks[0], vs[0]),
        ("heads of k and v", ks[heads], vs[heads]),
        ("length of k and v", ks[length], vs[length]),
        ("head size of q and k", qs[3], ks[3]),
    ):
        if a != b:
            raise ValueError(f"{what} differ: {a} and {b}")
    if ks[heads] == 0 or qs[heads] % ks[heads]:
        raise ValueError(f"q has {qs[heads]} heads, which is no multiple of the {ks[heads]} heads of k and v")
    if q.element_type != k.element_type:
        raise TypeError(f"q has elements of type {q.element_type}, but k of type {k.element_type}")
    return Shape(qs[0], qs[heads], ks[heads], qs[length], ks[length], qs[3], vs[3])


def _layouts(shape: Shape, layout: Layout) -> dict[str, AffineMapAttr]:
    def tensor(heads: list[Term], length: int, size: int) -> AffineMapAttr:
        inner = [heads, [Term(length, 1)]]
        if layout == "bshd":
            inner.reverse()
        return make_layout(1 + len(INNER_DIMS), [[Term(B, 1)], *inner, [Term(size, 1)]])

    kv_head = [Term(H, 1)]
    query_head = kv_head if shape.group == 1 else [Term(H, shape.group), Term(G, 1)]
    rank = 1 + len(INNER_DIMS)
    return {
        "q": tensor(query_head, M, K),
        "k": tensor(kv_head, N, K),
        "v": tensor(kv_head, N, D),
        "out": tensor(query_head, M, D),
        "lse": make_layout(rank, [[Term(B, 1)], query_head, [Term(M, 1)]]),
        "kv_lens": make_layout(rank, [[Term(B, 1)]]),
        "sinks": make_layout(rank, [query_head]),
    }


def build_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    sinks: Tensor | None = None,
    return_lse: bool = False,
) -> Attention:
    """
    The module of one attention call; `flashlower.attention` says what the arguments are.

    Raises `ValueError` for shapes and `TypeError` for dtypes that do not fit, naming both values.
    """
    named: list[tuple[str, Tensor]] = [("q", q), ("k", k), ("v", v)]
    types = [tensor_type(tensor, name) for name, tensor in named]
    shape = _shape_of(types[0], types[1], types[2], layout)
    layouts = _layouts(shape, layout)
    block = Block(arg_types=types)
    attention = Attention(ModuleOp([]), [q, k, v])

    def add(name: str, tensor: Tensor) -> SSAValue:
        argument = block.insert_arg(tensor_type(tensor, name), len(block.args))
        argument.name_hint = name
        attention.arguments.append(tensor)
        return argument

    for argument, (name, _) in zip(block.args, named):
        argument.name_hint = name
    lens = None
    if kv_lens is not None:
        lens = add("kv_lens", kv_lens)
        _check_vector("kv_lens", lens, shape.batch, "the batch", (i32, i64))
    sink = None
    if sinks is not None:
        sink = add("sinks", sinks)
        _check_vector("sinks", sink, shape.query_heads, "the query heads", None)
    seen: dict[int, SSAValue] = {}

    def capture(tensor: Tensor, name: str) -> SSAValue:
        if id(tensor) not in seen:
            seen[id(tensor)] = add(name if name.isidentifier() else "captured", tensor)
        return seen[id(tensor)]

    sizes = {"b": shape.batch, "hq": shape.query_heads, "m": shape.queries, "n": shape.keys}
    region = None if score is None else Trace(sizes, capture, lens).region(score)
    order = [shape.query_heads, shape.queries] if layout == "bhsd" else [shape.queries, shape.query_heads]
    output_type = TensorType(types[0].element_type, [shape.batch, *order, shape.value_size])
    lse_type = TensorType(f32, [shape.batch, shape.query_heads, shape.queries]) if return_lse else None
    with ImplicitBuilder(block):
        sdpa = SdpaOp(
            block.args[0],
            block.args[1],
            block.args[2],
            layouts,
            1 / math.sqrt(shape.head_size) if scale is None else float(scale),
            output_type,
            kv_lens=lens,
            sinks=sink,
            score=region,
            lse_type=lse_type,
        )
        sdpa.output.name_hint = "out"
        results: list[SSAValue] = [sdpa.output]
        if sdpa.lse is not None:
            sdpa.lse.name_hint = "lse"
            results.append(sdpa.lse)
        ReturnOp(*results)
    function_type = FunctionType.from_lists(list(block.arg_types), [r.type for r in results])
    attention.module.body.block.add_op(FuncOp("attention", function_type, Region(block)))
    attention.module.verify()
    return attention


def _check_vector(name: str, value: SSAValue, size: int, of: str, element_types: tuple[Attribute, ...] | None) -> None:
    type = cast(TensorOf, value.type)
    if type.get_shape() != (size,):
        raise ValueError(f"{name} has shape {list(type.get_shape())}, expected [{size}], one for each of {of}")
    if element_types is not None and type.element_type not in element_types:
        raise TypeError(f"{name} has elements of type {type.element_type}, expected i32 or i64")
    if element_types is None and not isinstance(type.element_type, AnyFloat):
        raise TypeError(f"{name} has elements of type {type.element_type}, expected a float")
