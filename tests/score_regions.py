"""
Random score regions of integer comparisons, each as IR text and as a NumPy function of the same meaning
(in float32, so that what a finite mask rounds away is gone in both).

    region = RandomRegion(rng, queries=7, keys=33, batch=2, short=False)
    region.text                        # "score { ... }"
    region.captured                    # {"lens": ("tensor<2xi32>", array), ...}: what the region reads
    region(s, (b,), hq, m, n)          # the new logits
    region.unmasked(s, (b,), hq, m, n) # the same if every mask kept everything

Comparisons are of query, key, lengths and offsets from outside with small constants (negative ones, and such that
reach beyond the keys), with divisions, joined by and, or, xor and select; around them stand masks with -inf and with
finite numbers, masks that are added, biases and caps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Indices = tuple[Any, Any, Any]
"""Batch, query and key, as numbers or arrays that broadcast."""
Integer = tuple[str, Callable[[Indices], Any]]
Condition = tuple[str, Callable[[Indices], Any]]
Logit = tuple[str, Callable[[Any, Indices, bool], Any]]
"""The name of a value, and the value for a logit and indices; the flag says whether masks mask."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "slt": np.less,
    "sle": np.less_equal,
    "sgt": np.greater,
    "sge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "ult": lambda x, y: np.less(np.asarray(x, np.int64).view(np.uint64), np.asarray(y, np.int64).view(np.uint64)),
}


class RandomRegion:
    """One region; see the module's text."""

    def __init__(self, rng: np.random.Generator, *, queries: int, keys: int, batch: int, steps: int | None = None):
        self._rng = rng
        self._queries, self._keys = queries, keys
        self._lines: list[str] = []
        self._count = 0
        self.captured: dict[str, tuple[str, Array]] = {
            "lens": (f"tensor<{batch}xi32>", rng.integers(-2, keys + 6, batch).astype(np.int32)),
            "offset": ("tensor<1xi64>", rng.integers(-keys, keys + 6, 1).astype(np.int64)),
            "start": ("tensor<i32>", np.asarray(rng.integers(-4, keys), np.int32)),
            "table": (f"tensor<{keys}xi1>", rng.random(keys) < 0.7),
            "bias": (f"tensor<{keys}xf32>", rng.standard_normal(keys).astype(np.float32)),
        }
        self._numbers = {name: array for name, (_, array) in self.captured.items()}
        logit: Logit = ("%s", lambda s, indices, masked: s)
        for _ in range(steps or int(rng.integers(1, 4))):
            logit = self._step(logit)
        self._logit = logit[1]
        lines = "\n        ".join([*self._lines, f"attention.yield {logit[0]} : f32"])
        self.text = (
            f"score {{\n      ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):\n        {lines}\n      }}"
        )

    def __call__(self, s: Any, batch: Any, hq: Any, m: Any, n: Any) -> Any:
        return self._logit(np.asarray(s, np.float32), (batch[0], m, n), True)

    def unmasked(self, s: Any, batch: Any, hq: Any, m: Any, n: Any) -> Any:
        return self._logit(np.asarray(s, np.float32), (batch[0], m, n), False)

    def _choose(self, *options: Any) -> Any:
        return options[self._rng.integers(len(options))]

    def _emit(self, text: str) -> str:
        self._count += 1
        name = f"%x{self._count}"
        self._lines.append(f"{name} = {text}")
        return name

    # Integers

    def _constant(self, value: int) -> Integer:
        return self._emit(f"arith.constant {value} : index"), lambda indices: value

    def _symbol(self) -> Integer:
        kind = self._choose("lens", "offset", "start")
        numbers = self._numbers
        if kind == "lens":
            loaded = self._emit("tensor.extract %lens[%b] : tensor<?xi32>".replace("?", str(numbers["lens"].size)))
            return self._emit(f"arith.index_cast {loaded} : i32 to index"), lambda indices: numbers["lens"][
                indices[0]
            ].astype(np.int64)
        if kind == "offset":
            zero, _ = self._constant(0)
            loaded = self._emit(f"tensor.extract %offset[{zero}] : tensor<1xi64>")
            return self._emit(f"arith.index_cast {loaded} : i64 to index"), lambda indices: numbers["offset"][0]
        loaded = self._emit("tensor.extract %start[] : tensor<i32>")
        return self._emit(f"arith.index_cast {loaded} : i32 to index"), lambda indices: numbers["start"].astype(
            np.int64
        )

    def _binary(self, op: str, x: Integer, y: Integer, function: Callable[[Any, Any], Any]) -> Integer:
        name = self._emit(f"arith.{op} {x[0]}, {y[0]} : index")
        return name, lambda indices: function(x[1](indices), y[1](indices))

    def _offset(self, x: Integer) -> Integer:
        shift = int(self._choose(0, 1, -1, 3, -7, self._keys - self._queries, -self._keys, self._keys + 2))
        op, function = self._choose(("addi", np.add), ("subi", np.subtract))
        return self._binary(op, x, self._constant(shift), function) if shift else x

    def _divided(self, x: Integer) -> Integer:
        divisor = int(self._choose(2, 3, 8))
        op, function = self._choose(
            ("floordivsi", np.floor_divide),
            ("ceildivsi", lambda a, b: -np.floor_divide(-np.asarray(a), b)),
            ("divsi", lambda a, b: np.trunc(np.asarray(a) / b).astype(np.int64)),
        )
        quotient = self._binary(op, x, self._constant(divisor), function)
        if self._choose(True, False):
            return quotient
        return self._binary("muli", quotient, self._constant(divisor), np.multiply)

    def _key_side(self) -> Integer:
        x = self._offset(("%n", lambda indices: indices[2]))
        match self._choose("plain", "plain", "plain", "plain", "divided", "scaled", "modulo"):
            case "divided":
                return self._offset(self._divided(x))
            case "scaled":
                return self._binary("muli", x, self._constant(int(self._choose(2, -1, 3))), np.multiply)
            case "modulo":
                return self._binary("remsi", x, self._constant(5), np.fmod)
            case _:
                return x

    def _query_side(self) -> Integer:
        query: Integer = ("%m", lambda indices: indices[1])
        match self._choose("m", "m", "m", "m + s", "s", "divided", "scaled", "constant"):
            case "m":
                return self._offset(query)
            case "m + s":
                op, function = self._choose(("addi", np.add), ("subi", np.subtract))
                return self._offset(self._binary(op, query, self._symbol(), function))
            case "s":
                return self._offset(self._symbol())
            case "divided":
                return self._offset(self._divided(self._offset(query)))
            case "scaled":
                return self._binary("muli", query, self._constant(int(self._choose(2, -1))), np.multiply)
            case _:
                return self._constant(int(self._rng.integers(-3, self._keys + 3)))

    # Conditions

    def _compare(self) -> Condition:
        predicate = self._choose("slt", "sle", "sle", "sgt", "sge", "sge", "eq", "ne", "ult")
        function = COMPARISONS[predicate]
        lhs, rhs = self._key_side(), self._query_side()
        if self._rng.random() < 0.3:
            lhs, rhs = rhs, lhs
        name = self._emit(f"arith.cmpi {predicate}, {lhs[0]}, {rhs[0]} : index")
        return name, lambda indices: function(lhs[1](indices), rhs[1](indices))

    def _condition(self, depth: int) -> Condition:
        kind = (
            self._choose("compare", "and", "and", "or", "or", "not", "xor", "select", "table") if depth else "compare"
        )
        match kind:
            case "and" | "or" | "xor":
                a, b = self._condition(depth - 1), self._condition(depth - 1)
                function = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[kind]
                op = {"and": "andi", "or": "ori", "xor": "xori"}[kind]
                name = self._emit(f"arith.{op} {a[0]}, {b[0]} : i1")
                return name, lambda indices: function(a[1](indices), b[1](indices))
            case "not":
                a = self._condition(depth - 1)
                true = self._emit("arith.constant true")
                return self._emit(f"arith.xori {a[0]}, {true} : i1"), lambda indices: np.logical_not(a[1](indices))
            case "select":
                c, a, b = (self._condition(depth - 1) for _ in range(3))
                name = self._emit(f"arith.select {c[0]}, {a[0]}, {b[0]} : i1")
                return name, lambda indices: np.where(c[1](indices), a[1](indices), b[1](indices))
            case "table":
                name = self._emit(f"tensor.extract %table[%n] : tensor<{self._keys}xi1>")
                return name, lambda indices: self._numbers["table"][indices[2]]
            case _:
                return self._compare()

    def _window(self) -> Condition:
        """From so many keys before a position of the query on, and maybe up to the position."""
        position = self._query_side()
        first = self._binary("subi", position, self._constant(int(self._rng.integers(0, 12))), np.subtract)
        above = self._emit(f"arith.cmpi sge, %n, {first[0]} : index")
        if self._rng.random() < 0.3:
            return above, lambda indices: indices[2] >= first[1](indices)
        below = self._emit(f"arith.cmpi sle, %n, {position[0]} : index")
        name = self._emit(f"arith.andi {above}, {below} : i1")
        return name, lambda indices: (indices[2] >= first[1](indices)) & (indices[2] <= position[1](indices))

    # Logits

    def _step(self, logit: Logit) -> Logit:
        name, value = logit
        match self._choose("mask", "mask", "mask", "mask", "inverted", "finite", "added", "bias", "cap", "scaled"):
            case "bias":
                loaded = self._emit(f"tensor.extract %bias[%n] : tensor<{self._keys}xf32>")
                added = self._emit(f"arith.addf {name}, {loaded} : f32")
                return added, lambda s, indices, masked: value(s, indices, masked) + self._numbers["bias"][indices[2]]
            case "cap":
                tanh = self._emit(f"math.tanh {name} : f32")
                return tanh, lambda s, indices, masked: np.tanh(value(s, indices, masked))
            case "scaled":
                half = self._emit("arith.constant 0.5 : f32")
                product = self._emit(f"arith.mulf {name}, {half} : f32")
                return product, lambda s, indices, masked: value(s, indices, masked) * np.float32(0.5)
            case "added":
                condition = self._condition(2)
                zero, lowest = self._emit("arith.constant 0.0 : f32"), self._emit("arith.constant 0xFF800000 : f32")
                mask = self._emit(f"arith.select {condition[0]}, {zero}, {lowest} : f32")
                added = self._emit(f"arith.addf {name}, {mask} : f32")

                def add(s: Any, indices: Indices, masked: bool) -> Any:
                    mask = (
                        np.where(condition[1](indices), np.float32(0.0), np.float32(-np.inf))
                        if masked
                        else np.float32(0.0)
                    )
                    return value(s, indices, masked) + mask

                return added, add
            case kind:
                condition = self._window() if self._rng.random() < 0.3 else self._condition(2)
                lowest, number = ("-1.0e9", -1.0e9) if kind == "finite" else ("0xFF800000", -np.inf)
                constant = self._emit(f"arith.constant {lowest} : f32")
                sides = (constant, name) if kind == "inverted" else (name, constant)
                selected = self._emit(f"arith.select {condition[0]}, {sides[0]}, {sides[1]} : f32")

                def select(s: Any, indices: Indices, masked: bool) -> Any:
                    kept = value(s, indices, masked)
                    if not masked:
                        return kept
                    keep = condition[1](indices)
                    return np.where(np.logical_not(keep) if kind == "inverted" else keep, kept, np.float32(number))

                return selected, select


def attention_text(
    region: RandomRegion, *, batch: int, kv_heads: int, group: int, queries: int, keys: int, kv_lens: bool
) -> str:
    """A module whose @main is an attention.sdpa with this region, head size 16, over q, k, v and what it captures."""
    q, kv = f"tensor<{batch}x{kv_heads * group}x{queries}x16xf32>", f"tensor<{batch}x{kv_heads}x{keys}x16xf32>"
    captured = ", ".join(f"%{name}: {type}" for name, (type, _) in region.captured.items())
    head = f"h * {group} + g"
    lse = f"tensor<{batch}x{kv_heads * group}x{queries}xf32>"
    return f"""
func.func @main(%q: {q}, %k: {kv}, %v: {kv}, {captured}) -> ({q}, {lse}) {{
  %out, %lse = attention.sdpa
      q(%q[b, {head}, m, k] : {q})
      k(%k[b, h, n, k] : {kv})
      v(%v[b, h, n, d] : {kv})
      {f"kv_lens(%lens[b] : tensor<{batch}xi32>)" if kv_lens else ""}
      scale(0.25)
      {region.text}
      -> out[b, {head}, m, d] : {q}, lse[b, {head}, m] : {lse}
  func.return %out, %lse : {q}, {lse}
}}
"""
