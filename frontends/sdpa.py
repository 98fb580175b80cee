"""`attention.sdpa` from tensors: the module that `flashlower.attention` compiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, FunctionType, ModuleOp, TensorType, f32, i32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from flashlower.dialects.attention import Quantization, SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, index_names, make_layout
from flashlower.dialects.attention.quantization import Shared
from flashlower.dialects.building import building
from flashlower.frontends.quantized import Quantized, part_type
from flashlower.frontends.tensors import Tensor, tensor_type
from flashlower.frontends.trace import ScoreFunction, Trace

Layout = Literal["bhsd", "bshd"]
TensorOf = TensorType[Attribute]

B, H, G, M, N, K, D = range(1 + len(INNER_DIMS))
P, PAGE, SLOT = (index_names(1).index(name) for name in ("p", "page", "slot"))


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
    page_size: int | None = None
    """None for contiguous K and V."""

    @property
    def group(self) -> int:
        """Query heads of one KV head."""
        return self.query_heads // self.kv_heads


def check_layout(layout: Layout) -> None:
    """Raises `ValueError` for what is no layout."""
    # What is not a string may be an array, whose comparison is one too.
    if str(layout) not in get_args(Layout):
        raise ValueError(f"layout is {layout!r}, expected 'bhsd' or 'bshd'")


def _check_tensors(q: TensorOf, k: TensorOf, v: TensorOf, layout: Layout, kv_dims: str) -> None:
    for name, type, dims in (("q", q, layout), ("k", k, kv_dims), ("v", v, kv_dims)):
        if type.get_num_dims() != 4:
            raise ValueError(f"{name} has shape {list(type.get_shape())}, expected 4 dimensions ({dims})")
        if not isinstance(type.element_type, AnyFloat):
            raise TypeError(f"{name} has elements of type {type.element_type}, expected floats")
    if q.element_type != k.element_type:
        raise TypeError(f"q has elements of type {q.element_type}, but k of type {k.element_type}")


def _check_equal(*pairs: tuple[str, int, int]) -> None:
    for what, a, b in pairs:
        if a != b:
            raise ValueError(f"{what} differ: {a} and {b}")


def _check_heads(query_heads: int, kv_heads: int) -> None:
    if kv_heads == 0 or query_heads % kv_heads:
        raise ValueError(f"q has {query_heads} heads, which is no multiple of the {kv_heads} heads of k and v")


def _shape_of(q: TensorOf, k: TensorOf, v: TensorOf, layout: Layout) -> Shape:
    _check_tensors(q, k, v, layout, layout)
    heads, length = (1, 2) if layout == "bhsd" else (2, 1)
    qs, ks, vs = q.get_shape(), k.get_shape(), v.get_shape()
    _check_equal(
        ("batch of q and k", qs[0], ks[0]),
        ("batch of k and v", ks[0], vs[0]),
        ("heads of k and v", ks[heads], vs[heads]),
        ("length of k and v", ks[length], vs[length]),
        ("head size of q and k", qs[3], ks[3]),
    )
    _check_heads(qs[heads], ks[heads])
    return Shape(qs[0], qs[heads], ks[heads], qs[length], ks[length], qs[3], vs[3])


def _paged_shape_of(q: TensorOf, k: TensorOf, v: TensorOf, table: TensorOf, layout: Layout) -> Shape:
    """The sizes of a call with pools [pages, page_size, Hkv, K or D] and a block table [B, max_pages]."""
    _check_tensors(q, k, v, layout, "pages, page_size, heads, head size")
    if table.element_type not in (i32, i64):
        raise TypeError(f"block_table has elements of type {table.element_type}, expected i32 or i64")
    if table.get_num_dims() != 2:
        raise ValueError(f"block_table has shape {list(table.get_shape())}, expected 2 dimensions (batch, pages)")
    heads, length = (1, 2) if layout == "bhsd" else (2, 1)
    qs, ks, vs, ts = q.get_shape(), k.get_shape(), v.get_shape(), table.get_shape()
    _check_equal(
        ("batch of q and block_table", qs[0], ts[0]),
        ("pages of k and v", ks[0], vs[0]),
        ("page size of k and v", ks[1], vs[1]),
        ("heads of k and v", ks[2], vs[2]),
        ("head size of q and k", qs[3], ks[3]),
    )
    if ks[1] == 0:
        raise ValueError("k and v have pages of size 0, expected at least 1")
    _check_heads(qs[heads], ks[2])
    return Shape(qs[0], qs[heads], ks[2], qs[length], ts[1] * ks[1], qs[3], vs[3], ks[1])


def _layouts(shape: Shape, layout: Layout) -> dict[str, AffineMapAttr]:
    def tensor(heads: list[Term], length: int, size: int) -> AffineMapAttr:
        inner = [heads, [Term(length, 1)]]
        if layout == "bshd":
            inner.reverse()
        return make_layout(1 + len(INNER_DIMS), [[Term(B, 1)], *inner, [Term(size, 1)]])

    kv_head = [Term(H, 1)]
    query_head = kv_head if shape.group == 1 else [Term(H, shape.group), Term(G, 1)]
    rank = 1 + len(INNER_DIMS)

    def pool(size: int) -> AffineMapAttr:
        return make_layout(rank, [[Term(PAGE, 1)], [Term(SLOT, 1)], kv_head, [Term(size, 1)]])

    return {
        "q": tensor(query_head, M, K),
        "k": tensor(kv_head, N, K) if shape.page_size is None else pool(K),
        "v": tensor(kv_head, N, D) if shape.page_size is None else pool(D),
        "block_table": make_layout(rank, [[Term(B, 1)], [Term(P, 1)]]),
        "out": tensor(query_head, M, D),
        "lse": make_layout(rank, [[Term(B, 1)], query_head, [Term(M, 1)]]),
        "kv_lens": make_layout(rank, [[Term(B, 1)]]),
        "sinks": make_layout(rank, [query_head]),
    }


class _Builder:
    """The function of one attention call, built argument by argument."""

    def __init__(self, shape: Shape, layout: Layout):
        self.shape = shape
        self.layout: Layout = layout
        self.layouts = _layouts(shape, layout)
        self.block = Block()
        self.attention = Attention(ModuleOp([]))
        self._captured: dict[int, SSAValue] = {}

    def add(self, name: str, tensor: Tensor, type: TensorOf | None = None) -> SSAValue:
        """An argument of the function; `type` is that of the tensor if not given."""
        argument = self.block.insert_arg(tensor_type(tensor, name) if type is None else type, len(self.block.args))
        argument.name_hint = name
        self.attention.arguments.append(tensor)
        return argument

    def capture(self, tensor: Tensor, name: str) -> SSAValue:
        """The argument for a tensor that a score function reads; one for all its uses."""
        if id(tensor) not in self._captured:
            self._captured[id(tensor)] = self.add(name if name.isidentifier() else "captured", tensor)
        return self._captured[id(tensor)]

    def vector(
        self, name: str, tensor: Tensor | None, size: int, of: str, element_types: tuple[Attribute, ...] | None = None
    ) -> SSAValue | None:
        """An argument with one element for each of something; floats if no element types are given."""
        if tensor is None:
            return None
        type = tensor_type(tensor, name)
        if type.get_shape() != (size,):
            raise ValueError(f"{name} has shape {list(type.get_shape())}, expected [{size}], one for each of {of}")
        if element_types is not None and type.element_type not in element_types:
            raise TypeError(f"{name} has elements of type {type.element_type}, expected i32 or i64")
        if element_types is None and not isinstance(type.element_type, AnyFloat):
            raise TypeError(f"{name} has elements of type {type.element_type}, expected a float")
        return self.add(name, tensor, type)

    def cache(self, name: str, tensor: Tensor | Quantized) -> SSAValue:
        """The argument for K or V, or for the codes of a quantised one."""
        if not isinstance(tensor, Quantized):
            return self.add(name, tensor)
        paged = self.shape.page_size is not None
        return self.add(name, tensor.pool if paged else tensor.storage, tensor.storage_type(paged=paged))

    def quantization(self, name: str, tensor: Tensor | Quantized) -> Quantization | None:
        """Adds the scales and zero points of a quantised K or V; its layout becomes that of the codes."""
        if not isinstance(tensor, Quantized):
            return None
        paged = self.shape.page_size is not None
        plain = self.layouts[name]
        if paged:
            dims = ("pages", "page size", "heads", "channels")
        elif self.layout == "bhsd":
            dims = ("batch", "heads", "length", "channels")
        else:
            dims = ("batch", "length", "heads", "channels")
        parts = {
            part: Shared(
                self.add(f"{name}_{part}", values, part_type(values, part)),
                tensor.part_layout(part, name, plain, dims),
            )
            for part, values in tensor.parts.items()
        }
        self.layouts[name] = tensor.storage_layout(plain, paged=paged)
        return Quantization(tensor.attr, **parts)

    def finish(self, sdpa: SdpaOp) -> Attention:
        """The verified module of a function that returns the results of `sdpa`, which is in the block."""
        results = [sdpa.output]
        sdpa.output.name_hint = "out"
        if sdpa.lse is not None:
            sdpa.lse.name_hint = "lse"
            results.append(sdpa.lse)
        self.block.add_op(ReturnOp(*results))
        types = FunctionType.from_lists(list(self.block.arg_types), [result.type for result in results])
        self.attention.module.body.block.add_op(FuncOp("attention", types, Region(self.block)))
        self.attention.module.verify()
        return self.attention


@building
def build_attention(
    q: Tensor,
    k: Tensor | Quantized,
    v: Tensor | Quantized,
    *,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    block_table: Tensor | None = None,
    sinks: Tensor | None = None,
    return_lse: bool = False,
) -> Attention:
    """
    The module of one attention call; `flashlower.attention` says what the arguments are.

    Raises `ValueError` for shapes and `TypeError` for dtypes that do not fit, naming both values.
    """
    check_layout(layout)
    # What is quantised has the shape of the floats that it stands for.
    q_type = tensor_type(q, "q")
    k_type, v_type = (_float_type(tensor, name, q_type) for name, tensor in (("k", k), ("v", v)))
    if block_table is None:
        shape = _shape_of(q_type, k_type, v_type, layout)
    else:
        shape = _paged_shape_of(q_type, k_type, v_type, tensor_type(block_table, "block_table"), layout)
    builder = _Builder(shape, layout)
    query, key, value = builder.add("q", q), builder.cache("k", k), builder.cache("v", v)
    key_quantization, value_quantization = builder.quantization("k", k), builder.quantization("v", v)
    table = None if block_table is None else builder.add("block_table", block_table)
    lens = builder.vector("kv_lens", kv_lens, shape.batch, "the batch", (i32, i64))
    sink = builder.vector("sinks", sinks, shape.query_heads, "the query heads")
    sizes = {"b": shape.batch, "hq": shape.query_heads, "m": shape.queries, "n": shape.keys}
    region = None if score is None else Trace(sizes, builder.capture, lens).region(score)
    order = [shape.query_heads, shape.queries] if layout == "bhsd" else [shape.queries, shape.query_heads]
    with ImplicitBuilder(builder.block):
        sdpa = SdpaOp(
            query,
            key,
            value,
            builder.layouts,
            _scale_of(scale, shape.head_size),
            TensorType(q_type.element_type, [shape.batch, *order, shape.value_size]),
            key_quantization=key_quantization,
            value_quantization=value_quantization,
            block_table=table,
            kv_lens=lens,
            sinks=sink,
            score=region,
            lse_type=TensorType(f32, [shape.batch, shape.query_heads, shape.queries]) if return_lse else None,
        )
    return builder.finish(sdpa)


def _scale_of(scale: float | None, head_size: int) -> float:
    """The factor of the dot products: 1 / sqrt(K) where none is given."""
    if scale is None:
        # Without channels every dot product is 0, whatever the factor.
        return 1 / math.sqrt(max(head_size, 1))
    try:
        factor = float(scale)
    except (TypeError, ValueError, OverflowError) as e:
        raise TypeError(f"scale is a {type(scale).__name__}, expected a number: {e}") from e
    if not math.isfinite(factor):
        raise ValueError(f"scale is {factor}, expected a finite number")
    return factor


def _float_type(tensor: Tensor | Quantized, name: str, query_type: TensorOf) -> TensorOf:
    """The type of K or V; of a quantised one, that of floats in its place."""
    if isinstance(tensor, Quantized):
        return TensorType(query_type.element_type, tensor.shape)
    return tensor_type(tensor, name)
