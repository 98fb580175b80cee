"""Attention on quantised K and V for tests: `AttentionCase` with codes, scales, zero points and offsets.

    case = QuantizedCase(page_size=16, keys=64, k_format=Format("u4", zero=7, channels=8), v_format=Format("i8"))

Codes and scales are drawn, packed here bit by bit (`Format.pack`), and dequantised here for the expected results, with
no code of flashlower. Scales of keys that do not exist are NaN where the format has one for each key.
`random_quantized_case(rng)` draws a case of any format, layout, page size and mask; K or V may stay floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import ml_dtypes
import numpy as np
from attention_cases import AttentionCase, MainOperand, random_case
from attention_steps import DTYPES

CODES = {"u4": (0, 15), "i4": (-8, 7), "u8": (0, 255), "i8": (-128, 127)}
FLOAT_CODES = {"f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2}
ROUND = {"bf16": ml_dtypes.bfloat16, "f16": np.float16}
WORDS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


@dataclass(frozen=True)
class Format:
    """How K or V is quantised. `channels` and `tokens`: how many share a scale, None for all of them."""

    codes: str = "u4"
    storage: int = 8
    """Bits of an element of the storage; 0 for 8-bit floats that are stored as such."""
    planar: bool = False
    channels: int | None = None
    tokens: int | None = 1
    heads: bool = True
    zero: int = 0
    parts: tuple[str, ...] = ("scale",)
    part_type: str = "f32"
    zero_type: str = "i8"
    """The type of `zero` in `parts`."""
    round: str | None = None

    def __str__(self) -> str:
        changed = (field.name for field in fields(self) if getattr(self, field.name) != field.default)
        shown = [f"{name}={getattr(self, name)}" for name in changed if name != "parts"]
        return "/".join([self.codes, *(n for n in self.parts if n != "scale"), *shown])

    @property
    def bits(self) -> int:
        return 4 if self.codes.endswith("4") else 8

    @property
    def lanes(self) -> int:
        return self.storage // self.bits if self.storage else 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Codes as numbers of their own dtype."""
        if self.codes in FLOAT_CODES:
            return rng.standard_normal(shape).astype(FLOAT_CODES[self.codes])
        low, high = CODES[self.codes]
        return rng.integers(low, high + 1, shape)

    def pack(self, codes: np.ndarray) -> np.ndarray:
        """The storage [..., channels / lanes] of codes [..., channels]: lane 0 has the lowest bits."""
        if not self.storage:
            return codes
        bits = codes.view(np.uint8) if self.codes in FLOAT_CODES else codes & (1 << self.bits) - 1
        bits = bits.astype(np.uint64)
        width = codes.shape[-1] // self.lanes
        words = np.zeros((*codes.shape[:-1], width), np.uint64)
        for channel in range(codes.shape[-1]):
            element, lane = channel // self.lanes, channel % self.lanes
            if self.planar:
                element, lane = channel % width, channel // width
            words[..., element] |= bits[..., channel] << np.uint64(lane * self.bits)
        return words.astype(WORDS[self.storage]).view(f"i{self.storage // 8}")

    def draw_part(self, rng: np.random.Generator, part: str, shape: tuple[int, ...]) -> np.ndarray:
        """A scale that makes values around 1, a zero point, or an offset."""
        dtype = DTYPES[self.part_type]
        if part == "offset":
            return (rng.standard_normal(shape) / 2).astype(dtype)
        if part == "scale":
            spread = 1.0 if self.codes in FLOAT_CODES else 2.0**self.bits / 3
            return (rng.uniform(0.5, 1.5, shape) / spread).astype(dtype)
        low, high = CODES[self.codes]
        if self.zero_type.startswith("i"):
            return rng.integers(max(low, -128), min(high, 127) + 1, shape).astype(f"int{self.zero_type[1:]}")
        return rng.uniform(low, high, shape).astype(DTYPES[self.zero_type])

    def dequantise(self, codes: np.ndarray, parts: dict[str, np.ndarray], dtype: Any) -> np.ndarray:
        """The values in float64, computed in `dtype`."""
        value = codes.astype(dtype) - dtype(self.zero)
        if "zero" in parts:
            value = value - parts["zero"].astype(dtype)
        if "scale" in parts:
            value = value * parts["scale"].astype(dtype)
        if "offset" in parts:
            value = value + parts["offset"].astype(dtype)
        return (value.astype(ROUND[self.round]) if self.round else value).astype(np.float64)


KERNEL_TOLERANCE = {"f32": 2e-5, "f16": 2e-3, "bf16": 8e-3}
"""Of ||a - b|| / ||b||: values that are not rounded by definition are rounded to the type of Q for the dots."""


@dataclass(frozen=True)
class QuantizedCase(AttentionCase):
    """One attention; an operand without a format is of floats, as in `AttentionCase`."""

    k_format: Format | None = None
    v_format: Format | None = None

    def __str__(self) -> str:
        return f"{super().__str__()}-k:{self.k_format}-v:{self.v_format}"

    def check_kernel(self, results: Sequence[np.ndarray], tolerance: float | None = None) -> None:
        """Compares what a kernel gives with `expected()`; infinities and NaN must be in the same places."""
        for got, want in zip(results, self.expected(), strict=True):
            finite = np.isfinite(want)
            np.testing.assert_array_equal(got[~finite].astype(np.float64), want[~finite])
            error = np.linalg.norm(got[finite].astype(np.float64) - want[finite])
            assert error <= (tolerance or KERNEL_TOLERANCE[self.dtype]) * np.linalg.norm(want[finite]), self

    def _quantized(self, name: str, operands: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Codes and parts on the axes of the floats that they replace; parts have size 1 where they are shared."""
        form: Format = getattr(self, f"{name}_format")
        floats = operands.get(f"{name}_pool", operands[name])
        rng = np.random.default_rng([self.seed, 1 if name == "k" else 2])
        codes = form.draw(rng, floats.shape)
        in_pages = f"{name}_pool" in operands
        # [page, slot, h, channel] or [b..., h, n, channel]
        head, token = (-2, -3) if in_pages else (-3, -2)
        shape = list(floats.shape)
        shape[-1] = 1 if form.channels is None else shape[-1] // form.channels
        shape[token] = 1 if form.tokens is None else shape[token] // form.tokens
        if not form.heads:
            shape[head] = 1
        parts = {part: form.draw_part(rng, part, tuple(shape)) for part in form.parts}
        if "scale" in parts and form.tokens == 1 and form.heads:
            gone = np.isnan(floats.astype(np.float32)).any(axis=-1, keepdims=True)
            parts["scale"] = np.where(gone, parts["scale"].dtype.type(np.nan), parts["scale"])
        return codes, parts

    def _spread(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        for axis, size in enumerate(shape):
            array = np.repeat(array, size // array.shape[axis], axis)
        return array

    def _operands(self) -> dict[str, np.ndarray]:
        operands = super()._operands()
        for name in ("k", "v"):
            if getattr(self, f"{name}_format") is None:
                continue
            codes, parts = self._quantized(name, operands)
            parts = {part: self._spread(array, codes.shape) for part, array in parts.items()}
            dtype = np.float64 if self.dtype == "f64" else np.float32
            values = getattr(self, f"{name}_format").dequantise(codes, parts, dtype)
            if f"{name}_pool" in operands:
                operands[f"{name}_floats"] = operands[f"{name}_pool"]
                _, pages = self._draw_pages(operands.get("kv_lens"))
                operands[name] = pages.gather(values, self.batch)
            else:
                operands[f"{name}_floats"] = operands[name]
                operands[name] = values
        return operands

    def main_operands(self, operands: dict[str, np.ndarray]) -> list[MainOperand]:
        floats = {name.removesuffix("_floats"): array for name, array in operands.items() if name.endswith("_floats")}
        plain = operands | floats
        plain |= {f"{name}_pool": array for name, array in floats.items() if f"{name}_pool" in operands}
        found: list[MainOperand] = []
        for operand in super().main_operands(plain):
            form: Format | None = getattr(self, f"{operand.name}_format", None)
            if form is None:
                found.append(operand)
                continue
            name = operand.name
            codes, parts = self._quantized(name, plain)
            channel = "k" if name == "k" else "d"
            in_pages = f"{name}_pool" in operands
            axes = ("page", "slot", "h", channel) if in_pages else (*self.batch_names, "h", "n", channel)
            array, layout = self._digits(form.pack(codes), axes, name, form, channel)
            storage = f"i{form.storage}" if form.storage else form.codes
            text = f" quantized({form.codes}"
            text += f", zero = {form.zero}" if form.zero else ""
            text += f", round = {form.round})" if form.round else ")"
            found.append(MainOperand(name, array, layout, storage, text))
            for part, values in parts.items():
                element = form.zero_type if part == "zero" else form.part_type
                found.append(MainOperand(f"{name}_{part}", *self._part(values, axes, form), element))
        return found

    def _main_clauses(self) -> tuple[dict[str, str], list[str]]:
        main = self.main_operands(self._operands())
        types = {operand.name: self._tensor(operand.array.shape, operand.element_type) for operand in main}
        return types, [f"{o.name}(%{o.name}{o.layout} : {types[o.name]}){o.suffix}" for o in main]

    def _digits(
        self, storage: np.ndarray, axes: tuple[str, ...], name: str, form: Format, channel: str
    ) -> tuple[np.ndarray, str]:
        """Codes in the layout of the case, with a digit of the channel where they are packed."""
        sizes = self.sizes | {channel: storage.shape[-1]}
        indices = self.indices(name)
        digits = [axis for index in indices for axis in index]
        missing = [axis for axis in axes if axis not in digits]
        array = storage.transpose([axes.index(axis) for axis in (*missing, *digits)])
        array = array.reshape([int(np.prod([sizes[axis] for axis in index])) for index in indices])
        digit = f"{channel} mod {sizes[channel]}" if form.planar else f"{channel} floordiv {form.lanes}"
        texts: list[str] = []
        for index in indices:
            terms: list[str] = []
            stride = 1
            for axis in reversed(index):
                term = digit if axis == channel and form.lanes > 1 else axis
                terms.insert(
                    0, term if stride == 1 else f"({term}) * {stride}" if " " in term else f"{term} * {stride}"
                )
                stride *= sizes[axis]
            texts.append(" + ".join(terms) or "0")
        return array.copy(), f"[{', '.join(texts)}]"

    def _part(self, values: np.ndarray, axes: tuple[str, ...], form: Format) -> tuple[np.ndarray, str]:
        """A scale, zero point or offset: the axes that it has, in an order drawn from the seed."""
        token = "slot" if "slot" in axes else "n"
        kept = [i for i, axis in enumerate(axes) if axis not in (axes[-1], token, "h")]
        kept += [i for i, axis in enumerate(axes) if axis == "h" and form.heads]
        kept += [i for i, axis in enumerate(axes) if axis == token and form.tokens is not None]
        kept += [len(axes) - 1] * (form.channels is not None)
        order = np.random.default_rng(self.seed).permutation(kept)
        array = values.transpose([*(i for i in range(len(axes)) if i not in kept), *order])
        array = array.reshape([values.shape[i] for i in order])
        groups = {token: form.tokens, axes[-1]: form.channels}
        names = [axes[i] for i in order]
        texts = [f"{name} floordiv {group}" if (group := groups.get(name) or 1) > 1 else name for name in names]
        return array.copy(), f"[{', '.join(texts)}]"


def random_format(rng: np.random.Generator, channels: int, tokens: int) -> Format:
    """Any format for so many channels, and a number of tokens (keys, or keys of a page)."""

    def choose(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    codes = choose(*CODES, *FLOAT_CODES)
    floats = codes in FLOAT_CODES
    bits = 4 if codes.endswith("4") else 8
    storages = [s for s in (8, 16, 32, 64) if channels % (s // bits) == 0]
    storage = choose(*(storages or [8]), *([0] if floats else []))
    if channels % max(storage // bits, 1):
        codes, storage, floats = "i8", 8, False
    kind = choose("scale", "scale", "zero", "offset", "constant", "none")
    parts = {"zero": ("scale", "zero"), "offset": ("scale", "offset"), "none": ()}.get(kind, ("scale",))
    if floats and "zero" in parts:
        parts = ("scale",)

    def group(size: int) -> Any:
        return choose(None, 1, *(g for g in (2, 4, 8, 16, 32) if size % g == 0))

    return Format(
        codes=codes,
        storage=storage,
        planar=bool(rng.random() < 0.5),
        channels=group(channels),
        tokens=group(tokens),
        heads=bool(rng.random() < 0.8),
        zero=0 if floats or kind != "constant" else int(rng.integers(CODES[codes][0], CODES[codes][1] + 1)),
        parts=parts,
        part_type=choose("f32", "bf16", "f16"),
        zero_type=choose("i8", "i32", "f32"),
        round=choose(None, None, "bf16", "f16"),
    )


def random_quantized_case(rng: np.random.Generator) -> QuantizedCase:
    """A `random_case` whose K and V are quantised, one of them perhaps not."""
    case = random_case(rng)
    case = QuantizedCase(**{field.name: getattr(case, field.name) for field in fields(case)})
    tokens = case.page_size or case.keys
    formats = [random_format(rng, case.head_size, tokens), random_format(rng, case.value_size, tokens)]
    if case.page_size and case.pool == "keys_only":
        formats[1] = random_format(rng, case.value_size, case.keys)
    if rng.random() < 0.2:
        formats[rng.integers(2)] = None  # pyright: ignore[reportCallIssue, reportArgumentType]
    return replace(case, k_format=formats[0], v_format=formats[1])


LIGHTLLM = Format("u4", zero=7, channels=8, part_type="bf16", round="bf16")
"""LightLLM's int4: two codes a byte, a scale for 8 channels."""

QUANTIZED_CASES = [
    QuantizedCase(
        page_size=1, pool="token", rows=True, kv_lens=True, dtype="bf16", k_format=LIGHTLLM, v_format=LIGHTLLM
    ),
    QuantizedCase(
        page_size=16,
        keys=96,
        pool="head_major",
        kv_lens=True,
        steps=("causal",),
        k_format=Format("u4", storage=32, planar=True),
        v_format=Format("u4", storage=32, planar=True, zero=8, channels=8),
    ),
    # KIVI: K for each channel and 32 keys, V for each key and 8 channels, value = code * scale + offset.
    QuantizedCase(
        keys=96,
        dtype="f16",
        k_format=Format(storage=32, channels=1, tokens=32, parts=("scale", "offset"), part_type="f16"),
        v_format=Format(storage=32, channels=8, parts=("scale", "offset"), part_type="f16"),
    ),
    QuantizedCase(
        page_size=32,
        keys=64,
        kv_lens=True,
        sinks=True,
        k_format=Format("i8", channels=1, tokens=None, parts=("scale", "zero")),
        v_format=Format("i8", tokens=8, parts=("scale", "zero"), zero_type="f32"),
    ),
    QuantizedCase(
        dtype="bf16",
        layout="bshd",
        steps=("window", "soft_cap"),
        queries=5,
        k_format=Format("f8E4M3FN", storage=0, tokens=None, heads=False),
        v_format=Format("f8E5M2", tokens=None),
    ),
    QuantizedCase(layout="flat", kv_lens=True, k_format=Format("i4", parts=()), v_format=None),
    QuantizedCase(layout="grouped", k_format=None, v_format=Format("u8", storage=16, planar=True, zero=128)),
    QuantizedCase(
        batch=(2, 2), dtype="f64", keys=24, page_size=8, pool="keys_only", k_format=LIGHTLLM, v_format=LIGHTLLM
    ),
]
