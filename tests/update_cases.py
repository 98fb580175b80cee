"""Updates of caches for tests: the module as text, and inputs; every format, cache and way to say where tokens go.

    case = UpdateCase(codes="u4", zero=7, cache="token_table", group=8)
    run_module(parse_module(case.module_text()), case.inputs())      # what NumPy makes of it
    fl.compile(case.module_text())(*case.inputs())                   # what the kernel does

`random_case(rng)` draws one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import ml_dtypes
import numpy as np
from quantizers import DTYPES, KINDS, adversarial

CODES = {"u4": 4, "i4": 4, "u8": 8, "i8": 8, "f8E4M3FN": 8, "f8E5M2": 8}

STORAGE: dict[str, Any] = {
    **{"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64},
    **{"f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2},
    **DTYPES,
}

CACHES = {
    "contiguous": ("b", "h", "n"),
    "sequence_major": ("b", "n", "h"),
    "token_major": ("page", "slot", "h"),
    "head_major": ("page", "h", "slot"),
    "token_table": ("page", "h"),
}


@dataclass(frozen=True)
class UpdateCase:
    """One update. `codes` "" is a cache of floats; `group` 0 is one scale for all channels; `scale` "" is none."""

    batch: int = 3
    heads: int = 2
    tokens: int = 5
    channels: int = 32
    dtype: str = "bf16"
    kind: str = "normal"
    cache: str = "contiguous"
    places: str = "first"
    """first, positions or slots."""
    rows: bool = False
    page_size: int = 8
    codes: str = "u4"
    zero: int = 0
    storage: str = "i8"
    planar: bool = False
    scale: str = "bf16"
    group: int = 0
    token_group: int = 1
    """Tokens that share a scale; 0 for those of a page."""
    given: str = ""
    """The layout of scales that are given, without the channel: "" for none, "head", "tensor" or "token"."""
    part: str = ""
    """zero or offset, made or given besides the scale."""
    part_type: str = "f32"
    rounding: str = "to_nearest_even"
    channel: str = "k"
    seed: int = 0

    def __str__(self) -> str:
        return "-".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default)

    @property
    def paged(self) -> bool:
        return "page" in CACHES[self.cache]

    @property
    def slots(self) -> int:
        """Slots of a page."""
        return 1 if self.cache == "token_table" else self.page_size

    @property
    def keys(self) -> int:
        """Tokens that a sequence has room for."""
        return 6 * self.page_size

    @property
    def pages(self) -> int:
        return self.batch * self.keys // self.slots + 2

    @property
    def lanes(self) -> int:
        if not self.codes or self.storage.startswith("f8"):
            return 1
        return STORAGE[self.storage]().itemsize * 8 // CODES[self.codes]

    @property
    def scaling(self) -> str:
        if self.given or not self.scale:
            return "given"
        return "asymmetric" if self.part else "symmetric"

    def sizes(self) -> dict[str, int]:
        return {
            **{"b": self.batch, "h": self.heads, "m": self.tokens, "n": self.keys, "page": self.pages},
            **{"slot": self.slots, "row": self.batch + 1, "p": self.keys // self.slots},
        }

    def _shared(self) -> tuple[list[str], list[int]]:
        """The layout of scales, and their shape."""
        sizes = self.sizes()
        if self.given == "tensor":
            return [], []
        indices: list[str] = []
        shape: list[int] = []
        for dim in ("h",) if self.given == "head" else CACHES[self.cache]:
            if dim in ("n", "slot") and self.token_group != 1:
                if self.token_group:
                    indices.append(f"{dim} floordiv {self.token_group}")
                    shape.append(sizes[dim] // self.token_group)
                continue
            indices.append(dim)
            shape.append(sizes[dim])
        if self.group:
            indices.append(self.channel if self.group == 1 else f"{self.channel} floordiv {self.group}")
            shape.append(self.channels // self.group)
        return indices, shape

    def operands(self) -> list[tuple[str, str, list[int], str]]:
        """Name, layout, shape and element type of every operand."""
        sizes, channel = self.sizes(), self.channel
        digit = channel
        if self.lanes > 1:
            width = self.channels // self.lanes
            digit = f"{channel} mod {width}" if self.planar else f"{channel} floordiv {self.lanes}"
        outer = CACHES[self.cache]
        cache = [*(sizes[dim] for dim in outer), self.channels // self.lanes]
        found = [
            ("new", f"b, h, m, {channel}", [self.batch, self.heads, self.tokens, self.channels], self.dtype),
            ("cache", ", ".join((*outer, digit)), cache, self.storage),
        ]
        indices, shape = self._shared()
        for name, element in (("scale", self.scale), (self.part, self.part_type)):
            if name and element and self.codes:
                found.append((f"cache_{name}", ", ".join(indices), shape, element))
        if self.paged and self.places != "slots":
            rows = self.batch + 1 if self.rows else self.batch
            found.append(("block_table", f"{'row' if self.rows else 'b'}, p", [rows, sizes["p"]], "i32"))
            if self.rows:
                found.append(("rows", "b", [self.batch], "i32"))
        if self.places == "first":
            found.append(("positions", "b", [self.batch], "i32"))
        else:
            found.append((self.places, "b, m", [self.batch, self.tokens], "i32"))
        return found

    def module_text(self) -> str:
        types = {
            name: f"tensor<{''.join(f'{s}x' for s in shape)}{element}>" for name, _, shape, element in self.operands()
        }
        made = [name for name in types if name == "cache" or (name.startswith("cache_") and self.scaling != "given")]
        lines: list[str] = []
        for name, layout, _, _ in self.operands():
            zero = f", zero = {self.zero}" if self.zero else ""
            quantized = f" quantized({self.codes}{zero})" if name == "cache" and self.codes else ""
            lines.append(f"    {name}(%{name}[{layout}] : {types[name]}){quantized}")
        if self.codes:
            lines.append(f"    quantizer({self.scaling}, {self.rounding})")
        results = ", ".join(types[name] for name in made)
        return "\n".join(
            [
                f"func.func @main({', '.join(f'%{name}: {type}' for name, type in types.items())}) -> ({results}) {{",
                f"  {', '.join(f'%r{i}' for i in range(len(made)))} = attention.update_cache",
                *lines,
                f"  func.return {', '.join(f'%r{i}' for i in range(len(made)))} : {results}",
                "}",
            ]
        )

    def inputs(self) -> list[Any]:
        rng = np.random.default_rng(self.seed)
        return [self._input(rng, name, shape, element) for name, _, shape, element in self.operands()]

    def _input(self, rng: np.random.Generator, name: str, shape: list[int], element: str) -> Any:
        match name:
            case "new":
                x = adversarial(rng, tuple(shape), self.dtype, self.kind.partition("+")[0])
                for value in self.kind.split("+")[1:]:
                    x[rng.random(x.shape) < 0.02] = float(value)
                return x
            case "positions" if self.places == "first":
                step = max(self.token_group or self.page_size, 1)
                first = rng.integers(0, (self.keys - self.tokens) // step + 1, shape) * step
                # One sequence is skipped, and the tokens of another do not all fit, where tokens are on their own.
                first[0] = -step if step > 1 else -2
                first[-1] = self.keys - (self.tokens if step > 1 else 2)
                return first.astype(np.int32)
            case "positions":
                chosen = np.stack([rng.permutation(self.keys + 4)[: self.tokens] for _ in range(self.batch)])
                return (chosen - 2).astype(np.int32)
            case "slots":
                count = self.pages * self.slots
                return (rng.permutation(count + 6)[: shape[0] * shape[1]] - 3).reshape(shape).astype(np.int32)
            case "block_table":
                pages = rng.permutation(self.pages + 2)[: shape[0] * shape[1]] - 1 if not self.rows else None
                if pages is None:
                    pages = np.concatenate([rng.permutation(self.pages), np.full(shape[0] * shape[1], -1)])
                    pages = pages[: shape[0] * shape[1]]
                return pages.reshape(shape).astype(np.int32)
            case "rows":
                return rng.permutation(shape[0]).astype(np.int32)
            case _ if name.startswith("cache_") and self.scaling == "given":
                if element in ("i8", "i32"):
                    low = 0 if self.codes.startswith("u") else -(1 << CODES[self.codes] - 1)
                    return rng.integers(low, low + (1 << CODES[self.codes]) // 2, shape).astype(STORAGE[element])
                values = rng.uniform(0.05, 0.6, shape) if name == "cache_scale" else rng.normal(size=shape)
                return np.asarray(values).astype(STORAGE[element])
            case _:
                size = int(np.prod(shape)) * np.dtype(STORAGE[element]).itemsize
                return rng.integers(0, 120, size, np.uint8).view(STORAGE[element]).reshape(shape).copy()


def random_case(rng: np.random.Generator) -> UpdateCase:
    """Any update that the operation allows."""

    def pick(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    cache = pick(*CACHES)
    places = pick("first", "positions", "slots") if CACHES[cache][0] == "page" else pick("first", "positions")
    codes = pick("", *CODES, "u4", "i4")
    storage = pick("bf16", "f16", "f32") if not codes else pick("i8", "i32", codes if codes[0] == "f" else "i16")
    lanes = 1 if not codes or storage[0] == "f" else STORAGE[storage]().itemsize * 8 // CODES[codes]
    channels = pick(32, 64, 24, 96, 128)
    channels -= channels % lanes
    width = channels // lanes
    planar = lanes > 1 and bool(rng.integers(2))
    tidy = not planar or width & (width - 1) == 0
    group = pick(0, *(g for g in (1, 2, 8, 16, 32) if channels % g == 0 and (tidy or width % g == 0)))
    given = pick("", "", "head", "tensor", "token") if codes else ""
    scale = pick("bf16", "f16", "f32") if given != "" or rng.integers(6) else ""
    integer = bool(codes) and codes[0] != "f"
    part = pick("", "zero", "offset") if integer and scale else ""
    made = bool(codes) and not given and bool(scale)
    if made and part == "offset" and codes[0] == "i":
        part = "zero"
    zero = 0
    if integer and not part:
        zero = pick(7, 8) if codes == "u4" else 128 if codes == "u8" else pick(0, 1, -1)
    token_group = 1
    if made and places == "first" and not rng.integers(3):
        token_group = pick(2, 4, 8) if cache != "token_table" else 1
    tokens = int(rng.integers(1, 6)) * token_group
    part_type = pick("f32", "bf16", "i32" if part == "zero" else "f16")
    return UpdateCase(
        batch=int(rng.integers(1, 4)),
        heads=int(rng.integers(1, 4)),
        tokens=tokens,
        channels=channels,
        dtype=pick("bf16", "f16", "f32"),
        kind=pick(*KINDS) + (pick("", "+inf", "+nan", "+-inf+nan") if codes and not rng.integers(3) else ""),
        cache=cache,
        places=places,
        rows=places != "slots" and cache in ("token_major", "head_major") and bool(rng.integers(2)),
        codes=codes,
        zero=zero,
        storage=storage,
        planar=planar,
        scale=scale if codes else "",
        group=group if scale and codes and given in ("", "token") else 0,
        token_group=token_group,
        given=given if scale else "",
        part=part,
        part_type=part_type,
        rounding=pick("to_nearest_even", "toward_zero") if integer else "to_nearest_even",
        channel=pick("k", "d"),
        seed=int(rng.integers(1 << 30)),
    )
