"""Attention problems for tests: the module as text, inputs, and what the module must compute.

    case = AttentionCase(batch=(2,), kv_heads=2, group=4, queries=1, keys=241, steps=("causal", "soft_cap"))
    inputs = case.inputs()                    # NumPy arrays, in the order of @main's arguments
    text = case.module_text()                 # func.func @main with one attention.sdpa
    out, lse = case.expected()                # float64, in the layout of @main's results
    case.check(run(text, inputs))             # raises AssertionError, with the tolerance of the case's dtype

`random_case(rng)` draws one, `CASES` is a list by hand that has every feature at least once. `kv_lens=True` gives
lengths from 0 to beyond N, and fills K and V behind them with NaN, which must not reach any result. With `page_size`,
K and V are pools of pages (`attention_pages`), in which keys lie as `pool` says; `rows=True` picks rows of the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from attention_pages import POOL_LAYOUTS, SPARE_PAGES, SPARE_ROWS, Pages, make_pages
from attention_reference import reference_attention
from attention_steps import DTYPES, REGION_STEPS, SHORT_STEPS, Step, make_step

TOLERANCE = {"f64": 1e-11, "f32": 2e-5, "f16": 3e-3, "bf16": 2e-2}
"""Of outputs around 1: some roundings of the result's type."""

Index = tuple[str, ...]
"""One index of a layout, the most significant dimension first; () is the constant 0."""

OPTIONAL = ("block_table", "rows", "kv_lens", "sinks")
"""Optional operands, in the order of @main's arguments."""

B = "*"
"""Stands for all batch dimensions of a case, one index each."""

LAYOUTS: dict[str, dict[str, list[Index]]] = {
    "bhsd": {
        "q": [(B,), ("h", "g"), ("m",), ("k",)],
        "k": [(B,), ("h",), ("n",), ("k",)],
        "v": [(B,), ("h",), ("n",), ("d",)],
        "out": [(B,), ("h", "g"), ("m",), ("d",)],
        "lse": [(B,), ("h", "g"), ("m",)],
    },
    "bshd": {
        "q": [(B,), ("m",), ("h", "g"), ("k",)],
        "k": [(B,), ("n",), ("h",), ("k",)],
        "v": [(B,), ("n",), ("h",), ("d",)],
        "out": [(B,), ("m",), ("h", "g"), ("d",)],
        "lse": [(B,), ("m",), ("h", "g")],
    },
    "flat": {
        "q": [(B,), ("m",), ("h", "g", "k")],
        "k": [(B,), ("n",), ("h", "k")],
        "v": [(B,), ("n",), ("h", "d")],
        "out": [(B,), ("m",), ("h", "g", "d")],
        "lse": [(B,), ("h", "g"), ("m",)],
    },
    "grouped": {
        "q": [(B,), ("h",), ("g",), ("m",), ("k",)],
        "k": [(B,), ("h",), (), ("k",), ("n",)],
        "v": [(B,), ("h",), (), ("n",), ("d",)],
        "out": [(B,), ("h",), ("g",), ("m",), ("d",)],
        "lse": [(B,), ("h",), ("g",), ("m",)],
    },
    "no_query": {
        "q": [(B,), ("h", "g"), ("k",)],
        "k": [(B,), ("n",), ("h",), ("k",)],
        "v": [(B,), ("h",), ("d",), ("n",)],
        "out": [(B,), ("h", "g"), ("d",)],
        "lse": [(B,), ("h", "g")],
    },
}
"""How operands are laid out; `no_query` is for cases of one query."""


@dataclass(frozen=True)
class MainOperand:
    """An operand as @main has it, its layout in the text, and what follows its clause."""

    name: str
    array: np.ndarray
    layout: str
    element_type: str
    suffix: str = ""


@dataclass(frozen=True)
class AttentionCase:
    """One attention; sizes by name, features by flags. Steps are names of `make_step`, applied in order."""

    batch: tuple[int, ...] = (2,)
    kv_heads: int = 2
    group: int = 2
    queries: int = 1
    keys: int = 100
    head_size: int = 16
    value_size: int = 16
    dtype: str = "f32"
    layout: str = "bhsd"
    steps: tuple[str, ...] = ()
    kv_lens: bool = False
    sinks: bool = False
    lse: bool = True
    seed: int = 0
    page_size: int = 0
    """The number of keys in a page, of which N is a multiple; 0 for contiguous K and V."""
    pool: str = "slot_major"
    rows: bool = False

    def __str__(self) -> str:
        flags = [name for name in ("kv_lens", "sinks", "lse") if getattr(self, name)]
        if self.page_size:
            flags += [f"page{self.page_size}", self.pool, *(["rows"] if self.rows else [])]
        sizes = f"b{'x'.join(map(str, self.batch))}-h{self.kv_heads}x{self.group}-m{self.queries}-n{self.keys}"
        return "-".join([sizes, f"k{self.head_size}d{self.value_size}", self.dtype, self.layout, *self.steps, *flags])

    @property
    def accumulator(self) -> str:
        return "f64" if self.dtype == "f64" else "f32"

    @property
    def scale(self) -> float:
        return 1.5 / self.head_size**0.5

    @property
    def sizes(self) -> dict[str, int]:
        return {
            **{name: size for name, size in zip(self.batch_names, self.batch)},
            "h": self.kv_heads,
            "g": self.group,
            "m": self.queries,
            "n": self.keys,
            "k": self.head_size,
            "d": self.value_size,
            **(
                {"page": self.sequences * self.max_pages + SPARE_PAGES, "slot": self.page_size}
                if self.page_size
                else {}
            ),
        }

    @property
    def sequences(self) -> int:
        return math.prod(self.batch)

    @property
    def max_pages(self) -> int:
        pages, rest = divmod(self.keys, self.page_size)
        if rest:
            raise ValueError(f"{self.keys} keys are no whole number of pages of {self.page_size}")
        return pages

    @property
    def batch_names(self) -> tuple[str, ...]:
        return ("b",) if len(self.batch) == 1 else tuple(f"b{i}" for i in range(len(self.batch)))

    def indices(self, operand: str) -> list[Index]:
        """The layout of q, k, v, out or lse with the batch dimensions of this case."""
        layouts = LAYOUTS[self.layout] | (POOL_LAYOUTS[self.pool] if self.page_size else {})
        result: list[Index] = []
        for index in layouts[operand]:
            result += [(name,) for name in self.batch_names] if index == (B,) else [index]
        return result

    def lay_out(self, array: np.ndarray, axes: Sequence[str], operand: str) -> np.ndarray:
        """An array with named axes in the layout of an operand; axes that the layout lacks have size 1."""
        indices = self.indices(operand)
        digits = [name for index in indices for name in index]
        missing = [axis for axis in axes if axis not in digits]
        array = array.transpose([axes.index(name) for name in (*missing, *digits)])
        return np.ascontiguousarray(array.reshape(self._shape(operand)))

    def _shape(self, operand: str) -> list[int]:
        return [math.prod(self.sizes[name] for name in index) for index in self.indices(operand)]

    def make_steps(self) -> list[Step]:
        rng = np.random.default_rng(self.seed + 1)
        return [make_step(name, self, rng, f"c{i}") for i, name in enumerate(self.steps)]

    # Inputs and results

    def _operands(self) -> dict[str, np.ndarray]:
        """q, k and v with plain axes, kv_lens and sinks; with pages also the table, rows, and pools of K and V."""
        rng = np.random.default_rng(self.seed)
        dtype = DTYPES[self.dtype]
        heads = (*self.batch, self.kv_heads)
        operands: dict[str, np.ndarray] = {
            "q": rng.standard_normal((*heads, self.group, self.queries, self.head_size)).astype(dtype),
            "k": rng.standard_normal((*heads, self.keys, self.head_size)).astype(dtype),
            "v": rng.standard_normal((*heads, self.keys, self.value_size)).astype(dtype),
        }
        if self.kv_lens:
            lens = rng.integers(0, self.keys + 3, self.batch).astype(np.int32)
            lens.reshape(-1)[:2] = [self.keys + 7, 0][: lens.size]
            operands["kv_lens"] = lens
        if self.page_size:
            operands |= self._paged(operands.get("kv_lens"))
        if self.kv_lens:
            gone = (np.arange(self.keys) >= operands["kv_lens"][..., None])[..., None, :, None]
            operands["k"] = np.where(gone, dtype(np.nan), operands["k"])
            operands["v"] = np.where(gone, dtype(np.nan), operands["v"])
        if self.sinks:
            operands["sinks"] = rng.standard_normal(self.kv_heads * self.group).astype(np.float32)
        return operands

    def _draw_pages(self, lens: np.ndarray | None) -> tuple[np.random.Generator, Pages]:
        """Where pages are, and the generator that draws what they hold."""
        rng = np.random.default_rng([self.seed, self.page_size])
        return rng, make_pages(rng, self.batch, lens, self.max_pages, self.page_size, with_rows=self.rows)

    def _paged(self, lens: np.ndarray | None) -> dict[str, np.ndarray]:
        rng, pages = self._draw_pages(lens)
        operands = {"block_table": pages.table}
        if pages.rows is not None:
            operands["rows"] = pages.rows
        for name, size in (("k", self.head_size), ("v", self.value_size)):
            if "page" in [digit for index in self.indices(name) for digit in index]:
                pool = rng.standard_normal((self.sizes["page"], self.page_size, self.kv_heads, size))
                pool = pages.poison(pool.astype(DTYPES[self.dtype]))
                operands |= {f"{name}_pool": pool, name: pages.gather(pool, self.batch)}
        return operands

    def main_operands(self, operands: dict[str, np.ndarray]) -> list[MainOperand]:
        """q, k and v as @main has them."""
        axes = (*self.batch_names, "h")
        found = {"q": self.lay_out(operands["q"], (*axes, "g", "m", "k"), "q")}
        for name, head in (("k", "k"), ("v", "d")):
            if f"{name}_pool" in operands:
                found[name] = self.lay_out(operands[f"{name}_pool"], ("page", "slot", "h", head), name)
            else:
                found[name] = self.lay_out(operands[name], (*axes, "n", head), name)
        return [MainOperand(name, array, self._layout(name), self.dtype) for name, array in found.items()]

    def inputs(self) -> list[np.ndarray]:
        """The arguments of @main: q, k, v, block_table, rows, kv_lens, sinks, the captured tensors of the steps."""
        operands = self._operands()
        laid_out = [operand.array for operand in self.main_operands(operands)]
        captured = [step.captured[1] for step in self.make_steps() if step.captured]
        return [*laid_out, *(operands[name] for name in OPTIONAL if name in operands), *captured]

    def expected(self) -> list[np.ndarray]:
        """What @main must return for `inputs()`, in float64: out, and lse if the case has it."""
        operands = self._operands()
        out, lse = reference_attention(
            operands["q"],
            operands["k"],
            operands["v"],
            scale=self.scale,
            scores=[step.score(step.captured[1] if step.captured else None) for step in self.make_steps()],
            kv_lens=operands.get("kv_lens"),
            sinks=operands.get("sinks"),
        )
        axes = (*self.batch_names, "h", "g", "m")
        results = [self.lay_out(out, (*axes, "d"), "out")]
        return [*results, self.lay_out(lse, axes, "lse")] if self.lse else results

    def check(self, results: Sequence[np.ndarray]) -> None:
        """Compares results of @main with `expected()`. LSE is held to its own, finer type."""
        expected = self.expected()
        assert len(results) == len(expected)
        for got, want, dtype in zip(results, expected, (self.dtype, self.accumulator)):
            assert got.dtype == DTYPES[dtype], f"dtype {got.dtype}, expected {dtype}"
            assert got.shape == want.shape
            tolerance = TOLERANCE[dtype]
            np.testing.assert_allclose(got.astype(np.float64), want, rtol=tolerance, atol=tolerance)

    # Text

    def _tensor(self, shape: Sequence[int], element_type: str) -> str:
        return f"tensor<{''.join(f'{size}x' for size in shape)}{element_type}>"

    def _layout(self, operand: str) -> str:
        def index(names: Index) -> str:
            terms: list[str] = []
            stride = 1
            for name in reversed(names):
                terms.insert(0, name if stride == 1 else f"{name} * {stride}")
                stride *= self.sizes[name]
            return " + ".join(terms) or "0"

        return "[" + ", ".join(index(names) for names in self.indices(operand)) + "]"

    def _main_clauses(self) -> tuple[dict[str, str], list[str]]:
        """Types and clauses of q, k and v: no arrays are drawn, so that cases of any size have a text."""
        types = {name: self._tensor(self._shape(name), self.dtype) for name in ("q", "k", "v")}
        return types, [f"{name}(%{name}{self._layout(name)} : {type})" for name, type in types.items()]

    def module_text(self) -> str:
        """A module whose @main is one attention.sdpa over its arguments."""
        types, clauses = self._main_clauses()
        heads = f"h * {self.group} + g"
        if self.page_size:
            row = "row" if self.rows else ", ".join(self.batch_names)
            table = (self.sequences + SPARE_ROWS,) if self.rows else self.batch
            types["block_table"] = self._tensor((*table, self.max_pages), "i32")
            clauses.append(f"block_table(%block_table[{', '.join(filter(None, (row, 'p')))}] : {types['block_table']})")
        if self.page_size and self.rows:
            types["rows"] = self._tensor(self.batch, "i64")
            clauses.append(f"rows(%rows[{', '.join(self.batch_names)}] : {types['rows']})")
        if self.kv_lens:
            types["kv_lens"] = self._tensor(self.batch, "i32")
            clauses.append(f"kv_lens(%kv_lens[{', '.join(self.batch_names)}] : {types['kv_lens']})")
        if self.sinks:
            types["sinks"] = self._tensor((self.kv_heads * self.group,), "f32")
            clauses.append(f"sinks(%sinks[{heads}] : {types['sinks']})")
        for i, step in enumerate(self.make_steps()):
            if step.captured is not None:
                types[f"c{i}"] = self._tensor(step.captured[1].shape, step.captured[0])
        clauses += [f"scale({self.scale!r})", self._score_text()]
        results = [("out", self.dtype), ("lse", self.accumulator)][: 2 if self.lse else 1]
        result_types = [
            f"tensor<{''.join(f'{size}x' for size in self._shape(name))}{dtype}>" for name, dtype in results
        ]
        outs = [f"{name}{self._layout(name)} : {type}" for (name, _), type in zip(results, result_types)]
        values = ", ".join(f"%{name}" for name, _ in results)
        arguments = ", ".join(f"%{name}: {type}" for name, type in types.items())
        body = "\n      ".join(clause for clause in clauses if clause)
        return f"""
func.func @main({arguments}) -> ({", ".join(result_types)}) {{
  {values} = attention.sdpa
      {body}
      -> {", ".join(outs)}
  func.return {values} : {", ".join(result_types)}
}}
"""

    def _score_text(self) -> str:
        steps = self.make_steps()
        if not steps:
            return ""
        if all(step.short for step in steps):
            return f"score({' '.join(step.text for step in steps)})"
        if any(step.short for step in steps):
            raise ValueError("a case mixes short forms and regions")
        lines: list[str] = []
        logit = "%s"
        for i, step in enumerate(steps):
            # Every step works on its own names.
            text = step.text.replace("%t_", f"%t{i}_").replace("%r", f"%r{i}").replace("%s", logit)
            lowest = "0xFFF0000000000000" if self.accumulator == "f64" else "0xFF800000"
            lines += text.replace("{f}", self.accumulator).replace("{-inf}", lowest).strip().splitlines()
            logit = f"%r{i}"
        indices = "".join(f", %{name}: index" for name in (*self.batch_names, "hq", "m", "n"))
        body = "\n        ".join(line.strip() for line in lines)
        return f"""score {{
      ^bb0(%s: {self.accumulator}{indices}):
        {body}
        attention.yield {logit} : {self.accumulator}
      }}"""


CASES = [
    AttentionCase(),
    AttentionCase(dtype="f64", value_size=24, layout="flat", steps=("causal",), queries=7),
    AttentionCase(dtype="f16", layout="bshd", steps=("window", "alibi"), queries=5, keys=241),
    AttentionCase(dtype="bf16", group=8, kv_heads=1, kv_lens=True, keys=1000),
    AttentionCase(batch=(), layout="no_query", sinks=True, keys=31),
    AttentionCase(batch=(), layout="no_query", kv_lens=True, kv_heads=1, group=1, head_size=1, value_size=1),
    AttentionCase(batch=(2, 3), layout="grouped", steps=("mask", "bias"), kv_lens=True, sinks=True, queries=3),
    AttentionCase(batch=(1, 2, 2), layout="bshd", steps=("bias_row", "soft_cap"), keys=31, lse=False),
    AttentionCase(steps=("causal_late",), queries=4, keys=100, sinks=True),
    AttentionCase(steps=("causal_top", "mask"), queries=100, keys=100, group=1, kv_heads=3),
    AttentionCase(steps=("document",), queries=6, keys=241, kv_lens=True, dtype="bf16"),
    AttentionCase(steps=("all_masked",), sinks=False, keys=31, layout="grouped"),
    AttentionCase(steps=("all_masked",), sinks=True, keys=31, layout="flat"),
    AttentionCase(steps=("all_masked",), keys=128, kv_heads=1),
    AttentionCase(steps=("finite_mask",), queries=3, keys=241, kv_lens=True, layout="bshd"),
    AttentionCase(steps=("finite_mask",), keys=1000, dtype="bf16", sinks=True, batch=(), queries=2),
    AttentionCase(steps=("finite_mask", "relative"), keys=100, dtype="f64", layout="flat"),
    AttentionCase(steps=("finite_mask",), keys=1000, batch=(1,), kv_heads=1, layout="grouped"),
    AttentionCase(steps=("relative", "strided"), queries=5, dtype="f64", layout="bshd", value_size=8),
    AttentionCase(steps=("strided", "relative"), batch=(3,), kv_lens=True, sinks=True, keys=241),
    AttentionCase(keys=1, kv_lens=True, sinks=True, queries=2),
    AttentionCase(batch=(5,), keys=1000, kv_heads=1, group=1, kv_lens=True, layout="bshd", dtype="f16"),
    AttentionCase(batch=(5,), keys=256, page_size=16, kv_lens=True, dtype="bf16"),
    AttentionCase(keys=100, page_size=1, pool="token", rows=True, kv_lens=True, steps=("causal",), queries=4),
    AttentionCase(batch=(3,), keys=240, page_size=48, pool="head_major", kv_lens=True, sinks=True, layout="bshd"),
    AttentionCase(keys=512, page_size=128, pool="flat", kv_lens=True, steps=("window", "bias"), dtype="f16"),
    AttentionCase(batch=(2, 2), keys=128, page_size=64, value_size=24, steps=("finite_mask",), rows=True, queries=3),
    AttentionCase(batch=(), keys=40, page_size=8, pool="keys_only", kv_lens=True, layout="flat", group=8),
    AttentionCase(batch=(4,), keys=256, page_size=256, kv_lens=True, rows=True, layout="no_query", dtype="f64"),
    AttentionCase(batch=(2,), keys=15, page_size=3, steps=("document",), pool="flat", lse=False, head_size=24),
]


def random_case(rng: np.random.Generator) -> AttentionCase:
    """A case of any shape, layout and score, small enough to be checked row by row."""

    def choose(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    layout = choose(*LAYOUTS)
    steps: tuple[str, ...] = ()
    for _ in range(choose(0, 1, 1, 2)):
        steps = (*steps, choose(*SHORT_STEPS))
    if rng.random() < 0.3:
        steps = tuple(choose(*REGION_STEPS) for _ in range(choose(1, 2)))
    case = AttentionCase(
        batch=tuple(int(size) for size in rng.integers(1, 4, choose(0, 1, 1, 2, 3))),
        kv_heads=choose(1, 2, 3),
        group=choose(1, 2, 4),
        queries=1 if layout == "no_query" else choose(1, 1, 2, 5),
        keys=choose(1, 31, 100, 241, 1000),
        head_size=choose(1, 8, 16),
        value_size=choose(1, 4, 16),
        dtype=choose(*DTYPES),
        layout=layout,
        steps=steps,
        kv_lens=bool(rng.random() < 0.5),
        sinks=bool(rng.random() < 0.3),
        lse=bool(rng.random() < 0.7),
        seed=int(rng.integers(1 << 30)),
    )
    if rng.random() < 0.6:
        return case
    page_size = choose(1, 3, 8, 16, 48, 64, 128)
    return replace(
        case,
        keys=-(-case.keys // page_size) * page_size,
        kv_lens=bool(rng.random() < 0.8),
        page_size=page_size,
        pool=choose(*(pool for pool in POOL_LAYOUTS if page_size == 1 or pool != "token")),
        rows=bool(rng.random() < 0.4),
    )
