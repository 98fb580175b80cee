"""`attention.update_cache` on NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import Attribute
from xdsl.utils.exceptions import InterpretationError, VerifyException

from flashlower.dialects.attention import UpdateCacheOp
from flashlower.dialects.attention.layout import DimSizes, Term, layout_terms, used_indices
from flashlower.dialects.attention.quantization import Part
from flashlower.dialects.attention.types import TensorOf
from flashlower.dialects.attention.update_cache import Groups
from flashlower.interpreters.attention import to_axes
from flashlower.interpreters.numerics import Array
from flashlower.interpreters.quantize import make_codes, make_parts, pack


class _Update:
    """One update: operands by name, sizes, and where every token goes."""

    def __init__(self, op: UpdateCacheOp, args: PythonValues):
        self.op = op
        self.values = {name: np.asarray(arg) for (name, _, _), arg in zip(op.layouts(), args, strict=True)}
        self.layouts = {name: layout for name, _, layout in op.layouts()}
        self.sizes = self._sizes()
        self.names = list(self.sizes)
        self.batch = self.names[: op.batch_rank]
        self.groups = op.groups() or Groups(1, 1)
        self.indices: dict[str, Array] = {}
        """Of every token, on axes (b..., h, m): batch, head, n, page and slot."""
        shape = [self.sizes[name] for name in (*self.batch, "h", "m")]
        for axis, name in enumerate((*self.batch, "h")):
            self.indices[name] = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        self.placed = np.broadcast_to(self._find_places(), shape)

    def _sizes(self) -> dict[str, int]:
        sizes = DimSizes.of(self.op.batch_rank, self.op.lanes())
        try:
            for name, _, layout in self.op.layouts():
                sizes.add(name, self.values[name].shape, layout.data)
            return sizes.by_index()
        except VerifyException as e:
            raise InterpretationError(f"{self.op.name}: {e}") from e

    def axes(self, name: str, inner: Sequence[str]) -> Array:
        return to_axes(self.values[name], self.layouts[name], self.sizes, inner)

    def _find_places(self) -> Array:
        """Fills in n, page and slot, and says which tokens have a place."""
        sizes = self.sizes
        if self.op.slots is not None:
            slots = self.axes("slots", ("h", "m")).astype(np.int64)
            self.indices["page"], self.indices["slot"] = np.divmod(slots, sizes["slot"])
            return (slots >= 0) & (self.indices["page"] < sizes["page"])
        n = self.axes("positions", ("h", "m")).astype(np.int64)
        if "m" not in used_indices(self.layouts["positions"].data):
            if (n % self.groups.tokens).any():
                raise InterpretationError(
                    f"{self.op.name}: groups of {self.groups.tokens} tokens start at multiples of it, but positions "
                    f"are {n.ravel().tolist()}"
                )
            n = n + np.arange(sizes["m"])
        self.indices["n"] = n
        placed = (n >= 0) & (n < sizes["n"])
        if self.op.block_table is None:
            return placed
        p, self.indices["slot"] = np.divmod(np.where(placed, n, 0), sizes["slot"])
        table = self.axes("block_table", ("h", "row", "p"))
        row = np.zeros((), np.int64)
        if self.op.rows is not None:
            row = self.axes("rows", ("h",))[..., None].astype(np.int64)
            wrong = (row < 0) | (row >= sizes["row"])
            placed, row = placed & ~wrong, np.where(wrong, 0, row)
        outer = (*self.batch, "h")
        at = tuple(self.indices[name] if table.shape[axis] > 1 else 0 for axis, name in enumerate(outer))
        page = table[(*at, row, p)]
        self.indices["page"] = page
        return placed & (page >= 0) & (page < sizes["page"])

    # Reading and writing elements of groups of tokens.

    def _digits(self, name: str) -> tuple[list[Term], list[int]]:
        """The digits of an operand's layout, one after the other, and their sizes."""
        terms = [term for terms in layout_terms(self.layouts[name].data) for term in terms]
        lanes = self.op.lanes().get(name, 1)
        sizes: list[int] = []
        for term in terms:
            whole = self.sizes[self.names[term.dim]]
            sizes.append(whole // lanes if term.modulus is not None else -(-whole // term.divisor))
        return terms, sizes

    def _at(self, name: str, channels: Array, tokens: int) -> tuple[Array, tuple[Array, ...]]:
        """
        A copy of an operand by its digits, and where the elements of channels are in it, on axes (b..., h, m, channel);
        one for each group of so many tokens.
        """
        terms, shape = self._digits(name)
        places: list[Array] = []
        for term in terms:
            dim = self.names[term.dim]
            index = channels if dim == self.op.channel else np.asarray(self.indices[dim])[..., None]
            if dim != self.op.channel and index.shape[-2] > 1:
                index = index[..., ::tokens, :]
            places.append(index % term.modulus if term.modulus is not None else index // term.divisor)
        return self.values[name].reshape(shape), tuple(places)

    def read(self, name: str) -> Array:
        """A scale, zero point or offset of every token and channel, on axes (b..., h, m, channel)."""
        array, places = self._at(name, np.arange(self.sizes[self.op.channel]), 1)
        inside = (np.clip(place, 0, size - 1) for place, size in zip(places, array.shape, strict=True))
        return array[tuple(inside)]

    def write(self, name: str, new: Array, channels: Array, tokens: int = 1) -> Array:
        """The operand with new elements, on axes (b..., h, m, channel), where tokens have a place."""
        array, places = self._at(name, channels, tokens)
        array = array.copy()
        *every, placed, new = np.broadcast_arrays(*places, self.placed[..., ::tokens, None], new)
        array[tuple(place[placed] for place in every)] = new[placed]
        return array.reshape(self.values[name].shape)

    # The update.

    def run(self) -> PythonValues:
        op, sizes = self.op, self.sizes
        shape = [sizes[name] for name in (*self.batch, "h", "m", op.channel)]
        new = np.broadcast_to(self.axes("new", ("h", "m", op.channel)), shape)
        attr, quantizer, packing = op.quantization, op.quantizer, op.packing()
        dtype = self.values["cache"].dtype
        if attr is None or quantizer is None or packing is None:
            return (self.write("cache", new.astype(dtype), np.arange(shape[-1])),)
        x = new.astype(np.float32)
        made: dict[Part, Array] = {}
        parts: dict[Part, Array] = {}
        if op.made():
            groups = self.groups
            grouped = x.reshape(*shape[:-2], -1, groups.tokens, shape[-1] // groups.channels, groups.channels)
            types: dict[Part, Attribute] = {part: element_type(result.type) for part, result in op.made().items()}
            source = element_type(op.new.type)
            made = make_parts(grouped, source, (-3, -1), attr, quantizer.scaling, quantizer.rounding, types)
            parts = {part: np.broadcast_to(value, grouped.shape).reshape(shape) for part, value in made.items()}
        else:
            for name in self.values:
                if name.startswith("cache_"):
                    parts[cast(Part, name.removeprefix("cache_"))] = self.read(name)
        codes = make_codes(x, attr, quantizer.scaling, quantizer.rounding, parts)
        first = np.arange(packing.width) * (1 if packing.planar else packing.lanes)
        results = [self.write("cache", pack(codes, packing, dtype), first)]
        for part, value in made.items():
            first = np.arange(0, shape[-1], self.groups.channels)
            results.append(self.write(f"cache_{part}", value[..., 0, :, 0], first, self.groups.tokens))
        return tuple(results)


def element_type(type: Attribute) -> Attribute:
    return cast(TensorOf, type).element_type


@register_impls
class UpdateCacheFunctions(InterpreterFunctions):
    """`attention.update_cache`."""

    @impl(UpdateCacheOp)
    def run_update_cache(self, interpreter: Interpreter, op: UpdateCacheOp, args: PythonValues) -> PythonValues:
        with np.errstate(all="ignore"):
            return _Update(op, args).run()
