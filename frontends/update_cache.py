"""`attention.update_cache` from tensors: the module that `flashlower.update_cache` compiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import AffineMapAttr, AnyFloat, FunctionType, ModuleOp, TensorType, i32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention import QuantizerAttr, Rounding, Scaling, UpdateCacheOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, index_names, make_layout
from flashlower.dialects.building import building
from flashlower.frontends.quantized import Quantized, part_type
from flashlower.frontends.sdpa import Layout, check_layout
from flashlower.frontends.tensors import Tensor, is_tensor, tensor_type

ScalingName = Literal["symmetric", "asymmetric", "given"]
RoundingName = Literal["to_nearest_even", "toward_zero"]

TensorOf = TensorType[Attribute]

B, H, _G, M, N, K, D = range(1 + len(INNER_DIMS))
P, PAGE, SLOT = (index_names(1).index(name) for name in ("p", "page", "slot"))


def _layout(*dims: int) -> AffineMapAttr:
    return make_layout(1 + len(INNER_DIMS), [[Term(dim, 1)] for dim in dims])


@dataclass
class Update:
    """
    A module with one function that updates caches, and the tensors to call it with.

    Positions, slots and block table come first; then the new tokens of K, its cache, and what stands beside that; then
    the same of V.
    """

    module: ModuleOp
    arguments: list[Tensor] = field(default_factory=list[Tensor])
    written: dict[str, int] = field(default_factory=dict[str, int])
    """Where the arguments are that it writes to, by their names."""
    token_group: int = 1
    """Tokens that share a made scale: what first positions are multiples of."""


class _Builder:
    """Builds the function of one call."""

    def __init__(self, layout: Layout, scaling: ScalingName | None, rounding: RoundingName, *, paged: bool):
        check_layout(layout)
        if scaling is not None and str(scaling) not in tuple(Scaling):
            raise ValueError(f"scaling is {scaling!r}, expected one of {', '.join(Scaling)}, or None")
        if rounding not in tuple(Rounding):
            raise ValueError(f"rounding is {rounding!r}, expected one of {', '.join(Rounding)}")
        self.layout = layout
        self.scaling = scaling
        self.rounding = rounding
        self.paged = paged
        self.block = Block()
        self.update = Update(ModuleOp([]))
        self.results: list[SSAValue] = []

    def add(self, name: str, tensor: Tensor, type: TensorOf) -> SSAValue:
        argument = self.block.insert_arg(type, len(self.block.args))
        argument.name_hint = name
        self.update.arguments.append(tensor)
        return argument

    def store(
        self,
        name: str,
        new: Tensor,
        cache: Tensor | Quantized,
        channel: int,
        places: dict[str, SSAValue],
        layouts: dict[str, AffineMapAttr],
    ) -> None:
        """Adds the update of one cache; `name` is k or v."""
        new_type = _four_dims(name, tensor_type(new, name), self.layout)
        heads, tokens = (1, 2) if self.layout == "bhsd" else (2, 1)
        order = (H, M) if self.layout == "bhsd" else (M, H)
        plain = _layout(B, *((H, N) if self.layout == "bhsd" else (N, H)), channel)
        dims = ("batch", "heads", "length", "channels") if heads == 1 else ("batch", "length", "heads", "channels")
        if self.paged:
            plain = _layout(PAGE, SLOT, H, channel)
            dims, heads = ("pages", "page size", "heads", "channels"), 2
        what = f"{name}_cache"
        if not isinstance(cache, Quantized) and not is_tensor(cache):
            raise TypeError(f"{what} is a {type(cache).__name__}, expected a NumPy array, a torch tensor or quantized")
        shape = [int(size) for size in cache.shape]
        if len(shape) != 4:
            raise ValueError(f"{what} has shape {shape}, expected 4 dimensions ({', '.join(dims)})")
        sizes = new_type.get_shape()
        for of, found, expected in (
            ("batch", shape[0], shape[0] if self.paged else sizes[0]),
            ("heads", shape[heads], sizes[3 - tokens]),
            ("head size", shape[3], sizes[3]),
        ):
            if found != expected:
                raise ValueError(f"{of} of {what} and {name} differ: {found} and {expected}")
        values = {"new": self.add(name, new, new_type), **places}
        maps = {**layouts, "new": _layout(B, *order, channel), "cache": plain}
        quantizer: QuantizerAttr | None = None
        if isinstance(cache, Quantized):
            values["cache"] = self.add(what, cache.storage, cache.storage_type())
            maps["cache"] = cache.storage_layout(plain)
            for part, tensor in cache.parts.items():
                values[f"cache_{part}"] = self.add(f"{name}_{part}", tensor, part_type(tensor, part))
                maps[f"cache_{part}"] = cache.part_layout(part, what, plain, dims)
            quantizer = QuantizerAttr(self._scaling_of(cache), self.rounding)
        else:
            cache_type = tensor_type(cache, what)
            if not isinstance(cache_type.element_type, AnyFloat):
                raise TypeError(f"{what} has elements of type {cache_type.element_type}, expected floats or quantized")
            values["cache"] = self.add(what, cache, cache_type)
        attr = cache.attr if isinstance(cache, Quantized) else None
        with building, ImplicitBuilder(self.block):
            op = UpdateCacheOp(values, maps, quantization=attr, quantizer=quantizer)
        try:
            op.verify_()
        except VerifyException as e:
            raise ValueError(f"{what}: {e}") from e
        for operand, result in op.updates():
            result.name_hint = f"new_{operand.name_hint}"
            self.update.written[operand.name_hint or what] = self.block.args.index(operand)
            self.results.append(result)
        groups = op.groups()
        if groups is not None:
            self.update.token_group = max(self.update.token_group, groups.tokens)

    def _scaling_of(self, cache: Quantized) -> str:
        if self.scaling is not None:
            return self.scaling
        if "scale" not in cache.parts:
            return Scaling.GIVEN
        return Scaling.SYMMETRIC if len(cache.parts) == 1 else Scaling.ASYMMETRIC

    def finish(self) -> Update:
        with building, ImplicitBuilder(self.block):
            ReturnOp(*self.results)
        types = FunctionType.from_lists(list(self.block.arg_types), [result.type for result in self.results])
        self.update.module.body.block.add_op(FuncOp("update_cache", types, Region(self.block)))
        self.update.module.verify()
        return self.update


def _four_dims(name: str, type: TensorOf, dims: str) -> TensorOf:
    if type.get_num_dims() != 4:
        raise ValueError(f"{name} has shape {list(type.get_shape())}, expected 4 dimensions ({dims})")
    if not isinstance(type.element_type, AnyFloat):
        raise TypeError(f"{name} has elements of type {type.element_type}, expected floats")
    return type


def _integers(name: str, tensor: Tensor) -> TensorOf:
    type = tensor_type(tensor, name)
    if type.element_type not in (i32, i64):
        raise TypeError(f"{name} has elements of type {type.element_type}, expected i32 or i64")
    return type


def build_update(
    k: Tensor,
    v: Tensor | None,
    k_cache: Tensor | Quantized,
    v_cache: Tensor | Quantized | None,
    *,
    layout: Layout = "bhsd",
    positions: Tensor | None = None,
    slots: Tensor | None = None,
    block_table: Tensor | None = None,
    scaling: ScalingName | None = None,
    rounding: RoundingName = "to_nearest_even",
) -> Update:
    """
    The module of one update; `flashlower.update_cache` says what the arguments are.

    Raises `ValueError` for shapes and `TypeError` for dtypes that do not fit.
    """
    if (v is None) != (v_cache is None):
        raise ValueError("v and v_cache must be given together")
    if (positions is None) == (slots is None):
        raise ValueError(
            "expected positions or slots, but " + ("neither is" if slots is None else "both are") + " given"
        )
    if slots is not None and block_table is not None:
        raise ValueError("slots say where tokens go, so there is no use for a block_table")
    paged = block_table is not None or slots is not None
    builder = _Builder(layout, scaling, rounding, paged=paged)
    tokens = _four_dims("k", tensor_type(k, "k"), layout).get_shape()
    batch, count = tokens[0], tokens[2] if layout == "bhsd" else tokens[1]
    places: dict[str, SSAValue] = {}
    layouts: dict[str, AffineMapAttr] = {}

    def place(name: str, tensor: Tensor, *shapes: tuple[int, ...]) -> None:
        type = _integers(name, tensor)
        found = type.get_shape()
        if found not in shapes:
            expected = " or ".join(str(list(shape)) for shape in shapes)
            raise ValueError(f"{name} has shape {list(found)}, expected {expected}")
        places[name] = builder.add(name, tensor, type)
        layouts[name] = _layout(B) if len(found) == 1 else _layout(B, M)

    if positions is not None:
        place("positions", positions, (batch,), (batch, count))
    if slots is not None:
        place("slots", slots, (batch, count))
    if block_table is not None:
        type = _integers("block_table", block_table)
        if type.get_num_dims() != 2 or type.get_shape()[0] != batch:
            raise ValueError(f"block_table has shape {list(type.get_shape())}, expected [{batch}, pages]")
        places["block_table"] = builder.add("block_table", block_table, type)
        layouts["block_table"] = _layout(B, P)
    builder.store("k", k, k_cache, K, places, layouts)
    if v is not None and v_cache is not None:
        found = _four_dims("v", tensor_type(v, "v"), layout).get_shape()
        if found[:3] != tokens[:3]:
            raise ValueError(
                f"k and v have shapes {list(tokens)} and {list(found)}, expected the same but for channels"
            )
        builder.store("v", v, v_cache, D, places, layouts)
    return builder.finish()
