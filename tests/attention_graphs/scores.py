"""Random steps from the first dot to the softmax: scales, masks, biases, soft caps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

from attention_graphs.builder import Builder, Value, single


@dataclass
class Score:
    """Logits on their way to the softmax; `keeps` are conditions without which they are -inf."""

    builder: Builder
    value: Value
    keeps: list[Value] = field(default_factory=list)
    finite_masks: bool = False
    is_small: bool = True
    """Whether scores are known to be no larger than logits are, or -inf."""
    heads: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()

    def step(self) -> None:
        """One random step."""
        steps = [self._keep_mask] * 5 + [self._bias, self._alibi, self._soft_cap, self._factor, self._shift]
        self.builder.random.choice(steps)()

    # Masks

    def _keep_mask(self) -> None:
        keep, names = self._condition()
        if "n" not in names and self.builder.random.random() < 0.7:
            return
        self.apply(keep)

    def apply(self, keep: Value) -> None:
        """Makes the logits low where a condition does not hold, by a select or by an addition."""
        b, random, s = self.builder, self.builder.random, self.value
        low = self._low()
        keep = b.spread(keep, s)
        form = random.choice(["select", "select not", "add", "add product"])
        if form == "add product" and low == -math.inf:
            form = "add"
        if form == "select":
            self.value = b.select(keep, s, b.full(low, s))
        elif form == "select not":
            self.value = b.select(b.unary("not", keep), b.full(low, s), s)
        elif form == "add":
            chosen = b.select(keep, b.full(0.0, s), b.full(low, s))
            self.value = b.binary("add", *random.sample([s, b.noise(chosen)], 2))
        else:
            # (1 - mask) * low
            ones = b.binary("subtract", b.full(1.0, s), b.convert(keep, s.dtype))
            self.value = b.binary("add", s, b.binary("multiply", ones, b.full(low, s)))
        if low == -math.inf:
            self.keeps.append(keep)
        else:
            self.finite_masks, self.is_small = True, False
            if form.startswith("select"):
                # A finite value has taken the place of -inf.
                self.keeps.clear()
        self.value = b.noise(self.value)

    def _low(self) -> float:
        if self.value.dtype in ("f16", "bf16"):
            return -math.inf
        lowest = float(ml_dtypes.finfo(np.float32).min)
        return self.builder.random.choice([-math.inf, -math.inf, lowest, lowest * 0.7, -1e9, -1e4])

    def _condition(self) -> tuple[Value, list[str]]:
        b, random = self.builder, self.builder.random
        has_m = "m" in self.value.names
        kinds = ["tensor", "constant", "lengths", "padding", "segments"]
        kinds += ["causal", "causal", "window", "tril"] if has_m else []
        kind = random.choice(kinds)
        if kind in ("tensor", "padding"):
            names = [*self.batch, "n"] if kind == "padding" else self._some_names()
            return self._tensor(names), names
        if kind == "constant":
            names = [name for name in self._some_names() if name in ("m", "n")] or ["n"]
            data = np.random.default_rng(random.getrandbits(32)).random([b.sizes[x] for x in names]) < 0.6
            return b.dense(data, single(*names), "i1"), names
        if kind == "lengths":
            return self._lengths(), [*self.batch, "n"]
        if kind == "segments":
            return self._segments(), ["n"]
        keep = self._causal(random.choice([-2, -1, 0, 0, 1, 3, b.sizes["n"] - b.sizes["m"]]), "GE")
        if kind == "window":
            far = b.relayout(self._causal(-random.choice([1, 2, 4]), "LE"), keep.dims)
            keep = b.binary(random.choice(["and", "and", "or"]), keep, far)
        if kind == "tril":
            m, n = b.sizes["m"], b.sizes["n"]
            keep = b.dense(np.tril(np.ones((m, n), bool), random.choice([-1, 0, 1, n - m])), single("m", "n"), "i1")
        return keep, ["m", "n"]

    def _some_names(self) -> list[str]:
        names = [x for x in self.value.names if x == "n" or self.builder.random.random() < 0.5]
        return self.builder.random.sample(names, len(names))

    def _tensor(self, names: list[str]) -> Value:
        b = self.builder
        shape = [b.sizes[name] for name in names]
        data = np.random.default_rng(b.random.getrandbits(32)).random(shape) < b.random.choice([0.3, 0.8])
        dtype = b.random.choice(["i1", "i1", "i32", "i8", "f32"])
        mask = b.argument(single(*names), dtype, data)
        return mask if dtype == "i1" else b.compare(b.random.choice(["NE", "GT"]), mask, b.full(0, mask))

    def _position(self, name: str, dims: tuple[tuple[str, ...], ...], dtype: str) -> Value:
        b = self.builder
        if b.random.random() < 0.5:
            return b.iota(dims, dims.index((name,)), dtype)
        return b.broadcast(b.iota(single(name), 0, dtype), [dims.index((name,))], dims)

    def _causal(self, offset: int, direction: str) -> Value:
        """m + offset GE n, in one of many ways; the offset is a constant or an argument."""
        b, random = self.builder, self.builder.random
        dims = single(*random.sample(["m", "n"], 2))
        dtype = random.choice(["i32", "i64"])
        m, n = self._position("m", dims, dtype), self._position("n", dims, dtype)
        if random.random() < 0.3:
            shift = b.broadcast(b.argument((), dtype, np.asarray(offset)), (), m)
        else:
            shift = b.full(offset, m)
        if random.random() < 0.5:
            lhs, rhs = b.binary("add", m, shift), n
        else:
            lhs, rhs = m, b.binary("subtract", n, shift)
        if random.random() < 0.5:
            return b.compare(direction, lhs, rhs)
        return b.compare({"GE": "LE", "LE": "GE"}[direction], rhs, lhs)

    def _lengths(self) -> Value:
        b, random = self.builder, self.builder.random
        dtype = random.choice(["i32", "i64"])
        names = [x for x in self.batch if random.random() < 0.8]
        shape = [b.sizes[x] for x in names]
        data = np.random.default_rng(random.getrandbits(32)).integers(-1, b.sizes["n"] + 2, shape)
        lens = b.argument(single(*names), dtype, data)
        dims = single(*names, "n")
        wide = b.broadcast(lens, list(range(len(names))), dims)
        n = self._position("n", dims, dtype)
        if random.random() < 0.3:
            # n <= len - 1
            return b.compare("LE", n, b.binary("subtract", wide, b.full(1, wide)))
        return b.compare("LT", n, wide) if random.random() < 0.5 else b.compare("GT", wide, n)

    def _segments(self) -> Value:
        b, random = self.builder, self.builder.random
        sides: list[Value] = []
        names = [*self.batch, *(x for x in ("m",) if x in self.value.names), "n"]
        for name in names[len(self.batch) :]:
            shape = [b.sizes[x] for x in (*self.batch, name)]
            data = np.random.default_rng(random.getrandbits(32)).integers(0, 2, shape)
            ids = b.argument(single(*self.batch, name), "i32", data)
            positions = [names.index(x) for x in (*self.batch, name)]
            sides.append(b.broadcast(ids, positions, single(*names)))
        if len(sides) == 1:
            sides.append(b.full(1, sides[0]))
        return b.compare("EQ", *sides)

    # Other steps

    def _bias(self) -> None:
        b = self.builder
        self.is_small = False
        names = self._some_names()
        bias = b.argument(single(*names), self.value.dtype)
        self.value = b.binary(b.random.choice(["add", "subtract"]), self.value, b.spread(bias, self.value))

    def _alibi(self) -> None:
        b, s = self.builder, self.value
        if not self.heads:
            return
        self.is_small = False
        names = list(self.heads)
        data = 2.0 ** -np.arange(1, 1 + math.prod(b.sizes[x] for x in names)).reshape([b.sizes[x] for x in names])
        slopes = b.argument(single(*names), s.dtype, data) if b.random.random() < 0.5 else None
        slopes = slopes or b.dense(data, single(*names), s.dtype)
        dims = single(*[x for x in ("m", "n") if x in s.names])
        distance = self._position("n", dims, "i32")
        if ("m",) in dims:
            distance = b.binary("subtract", distance, self._position("m", dims, "i32"))
        spread = b.spread(b.convert(distance, s.dtype), s)
        self.value = b.binary("add", s, b.binary("multiply", b.spread(slopes, s), spread))

    def _soft_cap(self) -> None:
        b, s = self.builder, self.value
        if self.keeps or self.finite_masks:
            # A capped mask keeps no key out.
            return
        cap = b.random.choice([2.0, 5.0, 30.0])
        inner = b.random.choice(
            [lambda: b.binary("divide", s, b.full(cap, s)), lambda: b.binary("multiply", s, b.full(1 / cap, s))]
        )()
        self.value = b.binary("multiply", b.unary("tanh", inner), b.full(cap, s))

    def _factor(self) -> None:
        if self.keeps:
            # Of a factor known at run time only the sign is unknown, and a negative one keeps no key out.
            self.value = self.builder.binary("multiply", self.value, self.builder.full(1.7, self.value))
        else:
            self.value = scaled(self.builder, self.value, self.builder.random.choice([0.5, 1.7, -0.3]))

    def _shift(self) -> None:
        self.value = self.builder.binary("add", self.value, self.builder.full(0.25, self.value))


def scaled(b: Builder, v: Value, factor: float) -> Value:
    """A value times a factor: a product or a quotient, with a constant or with an argument of rank 0."""
    form = b.random.choice(["multiply", "multiply", "divide", "argument", "argument divide"])
    if form.startswith("argument"):
        number = factor if form == "argument" else 1 / factor
        scalar = b.broadcast(b.argument((), v.dtype, np.asarray(number)), (), v)
        return b.binary("multiply" if form == "argument" else "divide", v, scalar)
    if form == "divide":
        return b.binary("divide", v, b.full(1 / factor, v))
    return b.binary("multiply", *b.random.sample([v, b.full(factor, v)], 2))
