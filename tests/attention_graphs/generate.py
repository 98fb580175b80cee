"""Random attention in StableHLO, and near misses: the same with one edge changed so that it is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from attention_graphs.builder import Builder, Dims, Value, single
from attention_graphs.scores import Score, scaled

MUTANTS = (
    *("softmax axis", "foreign maximum", "foreign denominator", "denominator axis", "logits escape"),
    *("weights escape", "sum escapes", "relu", "dropout", "dropout select", "integer mask", "value from weights"),
    *("transposed weights", "transposed keys", "sliced weights", "reversed weights", "reversed logits"),
    *("squared weights", "divided twice", "guard any", "guard inverted", "guard of a foreign mask", "rolled logits"),
    *("shifted exponent", "product reduction", "sum starts at one", "maximum starts at zero", "logits twice"),
    *("half of the LSE", "clamped to 2", "sink of the other sign", "guard of half the mask", "foreign LSE"),
)


@dataclass
class Names:
    """The dimensions of one attention by their names in it."""

    batch: list[str]
    heads: list[str]
    group: list[str]
    rows: list[str]


class Form:
    """How one softmax is written."""

    def __init__(self, random: Random, s: Value, score: Score, mutant: str | None, dtype: str):
        is_narrow = s.dtype in ("f16", "bf16")
        self.sink = mutant == "sink of the other sign" or (mutant is None and random.random() < 0.1)
        self.is_clamped = mutant == "clamped to 2" or (mutant is None and not self.sink and random.random() < 0.1)
        # Without a maximum, exponentials overflow in narrow types, and all are 0 in rows that finite masks empty.
        needs_max = score.finite_masks or is_narrow or dtype in ("f16", "bf16") or self.sink or self.is_clamped
        # Without one, a row bias that is subtracted would look like the maximum of another tensor.
        self.has_max = needs_max or not score.is_small or random.random() < 0.7
        self.normalisation = "early" if mutant else random.choice(["early"] * 6 + ["late"] * 2)
        if mutant == "half of the LSE" or (mutant is None and not is_narrow and random.random() < 0.1):
            # The logarithm of a clamped sum is that of another one.
            self.normalisation = "logarithm"
            self.is_clamped = self.sink = False
        self.base_two = not self.sink and self.normalisation != "logarithm" and random.random() < 0.2
        self.returns_lse = mutant == "foreign LSE" or (mutant is None and not self.base_two and random.random() < 0.2)


class AttentionGraph:
    """Adds one attention to a builder."""

    def __init__(self, builder: Builder, names: Names, dtype: str, mutant: str | None = None):
        self.b = builder
        self.random = builder.random
        self.names = names
        self.dtype = dtype
        self.mutant = mutant
        self.escaped: list[Value] = []

    def build(self, q: Value, k: Value, v: Value) -> Value:
        b, random = self.b, self.random
        logits = self._first_dot(q, k)
        if self.mutant == "logits escape":
            self.escaped.append(logits)
        if random.random() < 0.5:
            logits = b.relayout(logits, b.random_dims(logits.names, alone=["n"]))
        if logits.dtype in ("f16", "bf16") and random.random() < 0.6:
            logits = b.convert(logits, "f32")
        heads = tuple(x for x in (*self.names.heads, *self.names.group) if x in logits.names)
        score = Score(b, b.noise(logits), heads=heads, batch=tuple(self.names.batch))
        for _ in range(random.choice([0, 0, 1, 1, 2, 3])):
            score.step()
        self._mutate_logits(score, logits)
        return self._softmax_and_second_dot(score, v)

    # First dot

    def _expanded(self, v: Value, chosen: bool) -> Value:
        """K or V repeated over the head group, as a broadcast that may be flattened with the head."""
        if not chosen:
            return v
        b = self.b
        names = list(v.names)
        v = b.relayout(v, single(*names))
        for g in self.names.group:
            names.insert(self.random.randint(0, len(names)), g)
        wide = single(*names)
        kept = [i for i, name in enumerate(names) if name not in self.names.group]
        if self.random.random() < 0.5:
            one = tuple(dim if dim[0] not in self.names.group else () for dim in wide)
            v = b.reshape(v, one)
            return b.broadcast(v, list(range(len(one))), wide)
        return b.broadcast(v, kept, wide)

    def _flattened(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return list(self.b.random_dims(names)) if names else []

    def _shuffled(self, v: Value, dims: Sequence[tuple[str, ...]]) -> Value:
        return self.b.relayout(v, tuple(self.random.sample(list(dims), len(dims))))

    def _first_dot(self, q: Value, k: Value) -> Value:
        b, random, names = self.b, self.random, self.names
        expand = random.random() < 0.5
        scale = random.choice(["none", "q", "k", "logits", "both", "early"])
        factor = random.choice([0.35, 0.5, 0.125])
        q, k = b.noise(q), b.noise(k)
        if scale == "early":
            q = scaled(b, q, factor)
        shared = [*names.batch, *names.heads, *(names.group if expand else [])]
        batch = self._flattened(shared)
        free = self._flattened([*([] if expand else names.group), *names.rows])
        q = self._shuffled(q, [*batch, *free, ("k",)])
        k = self._shuffled(self._expanded(k, expand), [*batch, ("n",), ("k",)])
        if self.mutant == "transposed keys" and k.shape[-1] == k.shape[-2]:
            order = [*range(len(k.dims) - 2), len(k.dims) - 1, len(k.dims) - 2]
            k = Value(b.transpose(k, order).name, k.dims, k.shape, k.dtype)
        if scale in ("q", "both"):
            q = scaled(b, q, math.sqrt(factor) if scale == "both" else factor)
        if scale in ("k", "both"):
            k = scaled(b, k, math.sqrt(factor) if scale == "both" else factor)
        dtype = "f32" if self.dtype in ("f16", "bf16") and random.random() < 0.5 else self.dtype
        if dtype != q.dtype and random.random() < 0.3:
            q, k = b.convert(q, "f32"), b.convert(k, "f32")
        pair = random.sample([q, k], 2)
        logits = b.dot(*pair, random.sample(batch, len(batch)), "k", dtype)
        return scaled(b, logits, factor) if scale == "logits" else logits

    # Softmax and second dot

    def _softmax_and_second_dot(self, score: Score, v: Value) -> Value:
        b, random = self.b, self.random
        again = self._finite_mask(score)
        s = score.value
        axis = s.axis("n")
        if self.mutant == "softmax axis":
            same = [i for i in range(len(s.shape)) if i != axis]
            axis = random.choice(same) if same else axis
        form = Form(random, s, score, self.mutant, self.dtype)
        low = b.scalar(-math.inf, s.dtype)
        zero = b.scalar(1.0 if self.mutant == "sum starts at one" else 0.0, s.dtype)
        start = b.scalar(0.0, s.dtype) if self.mutant == "maximum starts at zero" else low
        exponent = s
        top = shift = None
        if form.has_max or self.mutant in ("foreign maximum", "maximum starts at zero"):
            of = b.argument(s.dims, s.dtype) if self.mutant == "foreign maximum" else s
            top = shift = b.reduce(of, axis, "maximum", start)
            if random.random() < 0.3:
                top = shift = b.binary("maximum", *random.sample([top, b.full(-math.inf, top)], 2))
            if form.is_clamped or form.sink or random.random() < 0.1:
                shift = self._safe_maximum(top, form)
            exponent = b.binary("subtract", s, b.noise(b.keep_dims(shift, axis, s)))
        if self.mutant == "shifted exponent":
            exponent = b.binary("subtract", exponent, b.argument(s.dims, s.dtype))
        exponent = b.noise(exponent)
        if self.mutant == "relu":
            weights = b.binary("maximum", s, b.full(0.0, s))
        else:
            weights = self._exponential(exponent, form.base_two)
        weights = b.noise(weights)
        is_repeated = not form.base_two and random.random() < 0.1
        summed = self._exponential(exponent, False) if is_repeated and self.mutant is None else weights
        total = self._total(summed, s, axis, zero)
        if self.mutant == "sum escapes":
            self.escaped.append(total)
        if form.sink:
            assert shift is not None
            inner = shift if self.mutant == "sink of the other sign" else b.unary("negate", shift)
            total = b.binary("add", total, b.unary("exponential", inner))
        if form.returns_lse and again is None:
            # The LSE of a finite mask is another one where weights are 0 in rows of nothing else.
            self.escaped.append(self._lse(s, axis, shift, total))
        if form.is_clamped:
            total = b.binary("maximum", total, b.full(2.0 if self.mutant == "clamped to 2" else 1e-20, total))
        if form.normalisation == "logarithm":
            weights = self._minus_logarithm(score, exponent, axis, shift, total)
        elif form.normalisation == "early":
            weights = self._divide(weights, b.keep_dims(total, axis, weights))
        if self.mutant == "divided twice":
            weights = b.binary("divide", weights, b.keep_dims(total, axis, weights))
        if self.mutant is None and random.random() < 0.1:
            weights = b.binary("multiply", weights, b.full(1.25, weights))
        elif form.normalisation == "early" and not form.sink and again is None:
            weights = self._guarded(weights, score, top, axis)
        if again is not None:
            weights = self._masked(weights, again)
        weights = self._mutate_weights(weights)
        out = self._second_dot(weights, v)
        if form.normalisation == "late":
            rest = [x for x in total.names if x in out.names]
            wide = b.spread(b.relayout(total, single(*rest)), out)
            out = self._divide(out, b.convert(wide, out.dtype) if out.dtype != wide.dtype else wide)
        names = [name for name in out.names if name]
        return b.relayout(b.convert(out, self.dtype) if out.dtype != self.dtype else out, b.random_dims(names))

    def _finite_mask(self, score: Score) -> Value | None:
        """Masks with a finite number, once in a while; weights are to be masked by the condition again."""
        b, random, s = self.b, self.random, score.value
        is_mutant = self.mutant == "guard of half the mask"
        is_narrow = s.dtype in ("f16", "bf16")
        if not is_mutant and (self.mutant or is_narrow or score.finite_masks or random.random() > 0.1):
            return None
        keep = b.argument(s.dims, "i1", np.random.default_rng(random.getrandbits(32)).random(s.shape) < 0.5)
        score.value = b.select(keep, s, b.full(-1e4 if is_narrow else random.choice([-1e4, -1e9, -1e30, -3e38]), s))
        score.finite_masks, score.is_small = True, False
        if is_mutant:
            other = b.argument(s.dims, "i1", np.random.default_rng(random.getrandbits(32)).random(s.shape) < 0.5)
            score.value = b.select(other, score.value, b.full(-2e4, s))
        return keep

    def _masked(self, weights: Value, keep: Value) -> Value:
        b = self.b
        if self.random.random() < 0.5:
            return b.binary("multiply", *self.random.sample([weights, b.convert(keep, weights.dtype)], 2))
        return b.select(keep, weights, b.full(0.0, weights))

    def _safe_maximum(self, top: Value, form: Form) -> Value:
        """0 in the place of a maximum of -inf, or no maximum below 0."""
        b = self.b
        if form.sink:
            return b.binary("maximum", *self.random.sample([top, b.full(0.0, top)], 2))
        if self.random.random() < 0.5:
            finite = b.op("is_finite", (top,), top.dims, "i1")
        else:
            finite = b.compare("GT", top, b.full(-math.inf, top))
        return b.select(finite, top, b.full(0.0, top))

    def _exponential(self, exponent: Value, base_two: bool) -> Value:
        b = self.b
        if not base_two:
            return b.unary("exponential", exponent)
        scaled_exponent = b.binary("multiply", exponent, b.full(math.log2(math.e), exponent))
        # f16 and bf16 hold neither factor well.
        if self.random.random() < 0.5 and exponent.dtype in ("f32", "f64"):
            # jax.numpy.exp2
            return b.unary("exponential", b.binary("multiply", b.full(math.log(2), exponent), scaled_exponent))
        return b.binary("power", b.full(2.0, exponent), scaled_exponent)

    def _lse(self, s: Value, axis: int, shift: Value | None, total: Value) -> Value:
        """m + log(l) of a softmax, or of another one."""
        b = self.b
        if self.mutant == "foreign LSE":
            s = b.argument(s.dims, s.dtype)
            shift = b.reduce(s, axis, "maximum", b.scalar(-math.inf, s.dtype))
            e = b.unary("exponential", b.binary("subtract", s, b.keep_dims(shift, axis, s)))
            total = b.reduce(e, axis, "add", b.scalar(0.0, s.dtype))
        log = b.unary("log", b.unary("abs", total) if self.random.random() < 0.3 else total)
        lse = log if shift is None else b.binary("add", *self.random.sample([log, shift], 2))
        return b.relayout(lse, b.random_dims(lse.names))

    def _minus_logarithm(self, score: Score, exponent: Value, axis: int, shift: Value | None, total: Value) -> Value:
        """exp(S - LSE), in two steps or, where that loses nothing, in one."""
        b, s, log = self.b, score.value, self.b.unary("log", total)
        if self.mutant == "half of the LSE":
            log = b.binary("multiply", log, b.full(0.5, log))
        if shift is None or not score.is_small or self.random.random() < 0.5:
            return b.unary("exponential", b.binary("subtract", exponent, b.keep_dims(log, axis, s)))
        lse = b.binary("add", log, shift)
        return b.unary("exponential", b.binary("subtract", s, b.keep_dims(lse, axis, s)))

    def _total(self, weights: Value, s: Value, axis: int, zero: Value) -> Value:
        b, random = self.b, self.random
        of = weights
        if self.mutant == "foreign denominator":
            of = b.unary("exponential", b.argument(s.dims, s.dtype))
        if self.mutant == "denominator axis":
            axis = random.randrange(len(s.shape))
            total = b.reduce(of, axis, "add", zero)
            wanted = (*s.dims[: s.axis("n")], *s.dims[s.axis("n") + 1 :])
            shape = tuple(map(b.size, wanted))
            return (
                Value(total.name, wanted, shape, total.dtype)
                if total.shape == shape
                else b.reduce(weights, s.axis("n"), "add", zero)
            )
        return b.reduce(of, axis, "multiply" if self.mutant == "product reduction" else "add", zero)

    def _divide(self, weights: Value, total: Value) -> Value:
        b = self.b
        if self.random.random() < 0.2:
            return b.binary("multiply", weights, b.binary("divide", b.full(1.0, total), total))
        return b.binary("divide", weights, total)

    def _guarded(self, weights: Value, score: Score, top: Value | None, axis: int) -> Value:
        """The weights with 0 where a row has no key, in one of many ways."""
        b, random = self.b, self.random
        forms = ["none"] * 4
        if score.keeps:
            forms += ["infinite", "keeps"]
            forms += ["nan", "nan and infinities", "top"] if top is not None else []
        form = random.choice(forms)
        if self.mutant in ("guard any", "guard inverted"):
            form = "infinite"
        zero, s = b.full(0.0, weights), score.value
        if self.mutant == "guard of a foreign mask":
            foreign = b.argument(s.dims, "i1", np.random.default_rng(random.getrandbits(32)).random(s.shape) < 0.5)
            return b.select(foreign, weights, zero)
        if form == "none":
            return weights
        if form.startswith("nan"):
            weights = b.select(b.compare("NE", weights, weights), zero, weights)
            for infinity in (math.inf, -math.inf) if form == "nan and infinities" else ():
                is_infinite = b.compare("EQ", weights, b.full(infinity, weights))
                weights = b.select(is_infinite, b.full(math.copysign(6e4, infinity), weights), weights)
            return weights
        if form == "top":
            assert top is not None
            empty = b.compare("EQ", top, b.full(-math.inf, top))
            return b.select(b.keep_dims(empty, axis, weights), zero, weights)
        if form == "keeps":
            keep = b.random.choice(score.keeps)
            if keep.dims != weights.dims:
                return weights
            if random.random() < 0.5:
                return b.select(keep, weights, zero)
            some = b.reduce(keep, axis, "or", b.scalar(False, "i1"))
            return b.select(b.keep_dims(some, axis, weights), weights, zero)
        infinite = b.compare("EQ", s, b.full(-math.inf, s))
        kind, start = ("or", False) if self.mutant == "guard any" else ("and", True)
        empty = b.keep_dims(b.reduce(infinite, axis, kind, b.scalar(start, "i1")), axis, weights)
        if self.mutant == "guard inverted":
            return b.select(empty, weights, zero)
        if random.random() < 0.5:
            return b.select(b.unary("not", empty), weights, zero)
        return b.select(empty, zero, weights)

    def _second_dot(self, weights: Value, v: Value) -> Value:
        b, random, names = self.b, self.random, self.names
        expand = random.random() < 0.5
        v = b.noise(v)
        if weights.dtype != v.dtype:
            if random.random() < 0.5:
                v = b.convert(v, weights.dtype)
            else:
                weights = b.convert(weights, v.dtype)
        if self.mutant == "value from weights":
            total = b.reduce(b.reshape(weights, (tuple(weights.names),)), 0, "add", b.scalar(0.0, weights.dtype))
            v = b.binary("multiply", v, b.broadcast(total, (), v))
        shared = [*names.batch, *names.heads, *(names.group if expand else [])]
        batch = self._flattened(shared)
        free = self._flattened([*([] if expand else names.group), *names.rows])
        weights = self._shuffled(weights, [*batch, *free, ("n",)])
        columns = [("d",)] if "d" in v.names else []
        v = self._shuffled(self._expanded(v, expand), [*batch, ("n",), *columns])
        pair = random.sample([weights, v], 2)
        wide = "f32" if weights.dtype in ("f16", "bf16") and random.random() < 0.3 else weights.dtype
        return b.dot(*pair, random.sample(batch, len(batch)), "n", wide)

    # Near misses

    def _mutate_logits(self, score: Score, logits: Value) -> None:
        b, s = self.b, score.value
        if self.mutant == "integer mask":
            mask = b.argument(s.dims, "i32", np.random.default_rng(1).integers(0, 2, s.shape))
            score.value = b.binary("add", s, b.convert(mask, s.dtype))
        elif self.mutant == "reversed logits":
            score.value = b.op("reverse", (s,), s.dims, s.dtype, f"dimensions = array<i64: {s.axis('n')}>")
        elif self.mutant == "logits twice":
            same = [(i, j) for i in range(len(s.shape)) for j in range(i) if s.shape[i] == s.shape[j] > 1]
            if same:
                i, j = self.random.choice(same)
                order = list(range(len(s.shape)))
                order[i], order[j] = j, i
                moved = b.transpose(s, order)
                score.value = b.binary("add", s, Value(moved.name, s.dims, s.shape, s.dtype))
        elif self.mutant == "rolled logits" and b.sizes["n"] > 1:
            axis, size = s.axis("n"), b.sizes["n"]
            b.sizes.update({"n'": size - 1, "n''": 1})
            parts = [b.slice(s, axis, 1, size, ("n'",)), b.slice(s, axis, 0, 1, ("n''",))]
            score.value = b.op("concatenate", parts, s.dims, s.dtype, f"dimension = {axis} : i64")

    def _mutate_weights(self, weights: Value) -> Value:
        b, mutant = self.b, self.mutant
        rng = np.random.default_rng(self.random.getrandbits(32))
        if mutant == "weights escape":
            self.escaped.append(weights)
        elif mutant == "dropout":
            return b.binary("multiply", weights, b.argument(weights.dims, weights.dtype, rng.random(weights.shape)))
        elif mutant == "dropout select":
            keep = b.argument(weights.dims, "i1", rng.random(weights.shape) < 0.5)
            return b.select(keep, weights, b.full(0.0, weights))
        elif mutant == "squared weights":
            return b.binary("multiply", weights, weights)
        elif mutant == "reversed weights":
            props = f"dimensions = array<i64: {weights.axis('n')}>"
            return b.op("reverse", (weights,), weights.dims, weights.dtype, props)
        elif mutant == "transposed weights":
            shape = weights.shape
            same = [(i, j) for i in range(len(shape)) for j in range(i) if shape[i] == shape[j] > 1]
            if same:
                i, j = self.random.choice(same)
                order = list(range(len(shape)))
                order[i], order[j] = j, i
                return Value(b.transpose(weights, order).name, weights.dims, shape, weights.dtype)
        elif mutant == "sliced weights" and b.sizes["n"] > 1:
            axis, size = weights.axis("n"), b.sizes["n"]
            b.sizes.update({"n'": size - 1, "n''": 1})
            part = b.slice(weights, axis, 0, size - 1, ("n'",))
            zero = b.slice(b.full(0.0, weights), axis, 0, 1, ("n''",))
            return b.op("concatenate", (part, zero), weights.dims, weights.dtype, f"dimension = {axis} : i64")
        return weights


@dataclass
class Case:
    """A module, its inputs, and how many attentions it holds; `mutants` if it holds near misses instead."""

    text: str
    inputs: list[np.ndarray]
    groups: int
    dtype: str
    mutant: str | None


def generate(seed: int, mutant: str | None = None, dtype: str | None = None) -> Case:
    """One random module; `dtype` is random as well if it is not given."""
    random = Random(seed)
    # Equal sizes hide mistakes in a module from its types, so they are frequent.
    pool = random.choice([[2], [2, 3], [1, 2, 3], [1, 2, 3, 4, 5]])
    batch = [f"b{i}" for i in range(random.choice([0, 1, 1, 2, 3]))]
    heads = ["h"] if random.random() < 0.7 else []
    group = ["g"] if random.random() < 0.5 else []
    rows = ["m"] if random.random() < 0.85 else []
    sizes = {name: random.choice(pool) for name in (*batch, "h", "g", "m", "n", "k", "d")}
    if random.random() < 0.5:
        sizes["n"] = random.randint(1, 9)
    chosen = random.choice(["f32", "f32", "f32", "f16", "bf16", "f64"])
    dtype = dtype or chosen
    b = Builder(random, sizes)
    names = Names(batch, heads, group, rows)
    query_names = [*batch, *heads, *group, *rows, "k"]
    key_names, value_names = [*batch, *heads, "n", "k"], [*batch, *heads, "n", "d"]
    k, v = (_cache(b, b.random_dims(names), dtype) for names in (key_names, value_names))
    results: list[Value] = []
    groups = 1 if mutant else random.choice([1, 1, 1, 2, 3])
    for _ in range(groups):
        q = b.argument(b.random_dims(query_names), dtype)
        graph = AttentionGraph(b, names, dtype, mutant)
        if mutant is None and random.random() < 0.2:
            results.append(_in_a_loop(graph, q, k, v))
        else:
            results += [graph.build(q, k, v), *graph.escaped]
    return Case(b.module(results), [data for _, data in b.arguments], groups, dtype, mutant)


def _cache(b: Builder, dims: Dims, dtype: str) -> Value:
    """K or V: an argument, or once in a while what a cache gives, of which no part is read in place."""
    kind = b.random.choice(["argument"] * 6 + ["update", "concatenate", "gather", "slice"])
    axis = next((i for i, dim in enumerate(dims) if dim == ("n",)), None)
    if kind == "argument" or axis is None or b.sizes["n"] < 2:
        return b.argument(dims, dtype)
    b.sizes.update({"new": 1, "old": b.sizes["n"] - 1, "all": b.sizes["n"] + 2})

    def part(name: str) -> Value:
        return b.argument((*dims[:axis], (name,), *dims[axis + 1 :]), dtype)

    if kind == "update":
        starts = [b.scalar(0, "i32")] * len(dims)
        starts[axis] = b.argument((), "i32", np.asarray(b.random.randrange(b.sizes["n"])))
        return b.op("dynamic_update_slice", (b.argument(dims, dtype), part("new"), *starts), dims, dtype)
    if kind == "concatenate":
        return b.op("concatenate", (part("old"), part("new")), dims, dtype, f"dimension = {axis} : i64")
    if kind == "slice":
        return b.slice(part("all"), axis, 1, 1 + b.sizes["n"], ("n",))
    # Rows of a pool by a table of tokens.
    pool = part("all")
    table = b.argument(
        single("n"), "i32", np.random.default_rng(b.random.getrandbits(32)).integers(0, pool.shape[axis], b.sizes["n"])
    )
    offsets = ", ".join(str(i) for i in range(len(dims)) if i != axis)
    sizes = ", ".join("1" if i == axis else str(size) for i, size in enumerate(pool.shape))
    numbers = (
        f"dimension_numbers = #stablehlo.gather<offset_dims = [{offsets}], collapsed_slice_dims = [{axis}], "
        f"start_index_map = [{axis}], index_vector_dim = 1>, slice_sizes = array<i64: {sizes}>"
    )
    return b.op("gather", (pool, table), dims, dtype, numbers)


def _in_a_loop(graph: AttentionGraph, q: Value, k: Value, v: Value) -> Value:
    """Twice the attention, as the sum that a loop carries."""
    b = graph.b
    names = [*q.names[:0], *(name for name in q.names if name != "k"), "d"]
    carried = b.broadcast(b.scalar(0.0, graph.dtype), (), single(*names))
    with b.loop(2, carried) as values:
        out = b.relayout(graph.build(q, k, v), single(*names))
        values[0] = b.binary("add", values[0], out)
    return values[0]
