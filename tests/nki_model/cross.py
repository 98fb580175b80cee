"""
Every feature of attention on every target, on the model: the cross that acceptance asks for, as a table.

    python tests/nki_model/cross.py              # all of it; some minutes
    python tests/nki_model/cross.py --sample 7   # every seventh case

A cell is the largest relative error, ||a - b|| / ||b||, of the results of a feature on a target against float64, over
decoding and prefill, both arrangements, one and two cores (trn2 on), and the sizes that `cases` lists. Errors
beyond the tolerance (5e-3 in bf16, 1e-5 in f32; for LSE 1e-3 and 1e-5) end the program.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import ml_dtypes
import numpy as np
from attention_cases import AttentionCase
from nki_kernels import relative_error, run

TARGETS = ("trn1", "trn2", "trn3")
KEYS = (1, 100, 128, 241, 4096, 16384)
TOLERANCE = {"f32": 1e-5, "f16": 1e-3, "bf16": 5e-3}
LSE_TOLERANCE = {"f32": 1e-5, "f16": 1e-4, "bf16": 1e-3}
"""Exponentials are summed after they are rounded to the type of V."""

FLOAT8 = {
    "f8E4M3": ml_dtypes.float8_e4m3,
    "f8E5M2": ml_dtypes.float8_e5m2,
    "f8E4M3FN": ml_dtypes.float8_e4m3fn,
}


@dataclass(frozen=True)
class Float8Case(AttentionCase):
    """
    Attention on caches in 8-bit floats, each of K and V in its own; Q has `dtype`.

    Codes without scales say that to the IR, in which Q and K have one type otherwise; it has none for f8E4M3, for which
    Q is in that type too, and the result in `dtype`.
    """

    k_type: str = "f8E5M2"
    v_type: str = "f8E5M2"

    @property
    def types(self) -> dict[str, str]:
        types = {"k": self.k_type, "v": self.v_type}
        return types if self.k_type != "f8E4M3" else types | {"q": self.k_type}

    def _operands(self) -> dict[str, np.ndarray]:
        operands = super()._operands()
        for name, array in operands.items():
            if (type := self.types.get(name.removesuffix("_pool"))) is not None:
                operands[name] = array.astype(np.float32).astype(FLOAT8[type])
        return operands

    def _main_clauses(self) -> tuple[dict[str, str], list[str]]:
        elements = {name: self.types.get(name, self.dtype) for name in ("q", "k", "v")}
        types = {name: self._tensor(self._shape(name), element) for name, element in elements.items()}
        clauses: list[str] = []
        for name, element in elements.items():
            codes = name != "q" and element in ("f8E5M2", "f8E4M3FN")
            suffix = f" quantized({element})" if codes else ""
            clauses.append(f"{name}(%{name}{self._layout(name)} : {types[name]}){suffix}")
        return types, clauses


def float8(case: AttentionCase, k_type: str, v_type: str) -> Float8Case:
    """A case with its caches in 8-bit floats."""
    values = {field.name: getattr(case, field.name) for field in fields(case)}
    return Float8Case(**values, k_type=k_type, v_type=v_type)


BASE = AttentionCase(batch=(2,), kv_heads=2, group=2, head_size=32, value_size=32, kv_lens=True, dtype="bf16")

FEATURES: dict[str, AttentionCase] = {
    "lengths, 0 among them": BASE,
    "no lengths": replace(BASE, kv_lens=False),
    "causal": replace(BASE, steps=("causal",)),
    "window": replace(BASE, steps=("window",), kv_lens=False),
    "soft cap": replace(BASE, steps=("soft_cap",)),
    "ALiBi": replace(BASE, steps=("alibi",)),
    "bias": replace(BASE, steps=("bias",)),
    "mask": replace(BASE, steps=("mask",)),
    "documents": replace(BASE, steps=("document",)),
    "fully masked rows": replace(BASE, steps=("all_masked",)),
    "finite mask": replace(BASE, steps=("finite_mask",)),
    "sinks": replace(BASE, sinks=True),
    "multi-head, no group": replace(BASE, group=1),
    "f32": replace(BASE, dtype="f32", steps=("causal",)),
    "f16": replace(BASE, dtype="f16", steps=("causal",)),
    "f8E4M3": float8(BASE, "f8E4M3", "f8E4M3"),
    "f8E5M2": float8(BASE, "f8E5M2", "f8E5M2"),
    "f8E4M3FN": float8(replace(BASE, steps=("causal",)), "f8E4M3FN", "f8E4M3FN"),
    "f8E5M2 and f8E4M3, Q in f16": float8(replace(BASE, dtype="f16", sinks=True), "f8E5M2", "f8E4M3"),
    "f8E5M2, Q in f32": float8(replace(BASE, dtype="f32", steps=("bias",)), "f8E5M2", "f8E5M2"),
    "f8E4M3, d = 256": float8(replace(BASE, head_size=256, value_size=256), "f8E4M3", "f8E4M3"),
    "f8E5M2, pages of 32": float8(replace(BASE, page_size=32), "f8E5M2", "f8E5M2"),
    "d = 128": replace(BASE, head_size=128, value_size=128),
    "d = 256": replace(BASE, head_size=256, value_size=256),
    "d = 256, f32": replace(BASE, head_size=256, value_size=256, dtype="f32"),
    "splits": BASE,
    "pages of 1": replace(BASE, page_size=1, pool="token"),
    "pages of 16, rows": replace(BASE, page_size=16, rows=True),
    "pages of 64, f32": replace(BASE, page_size=64, pool="head_major", dtype="f32"),
    "pages of 100": replace(BASE, page_size=100, pool="flat"),
    "pages of 128, splits": replace(BASE, page_size=128),
}
"""What is crossed with the targets; sizes are set by `cases`."""

MISSING = {(feature, target) for feature in ("f8E4M3FN",) for target in ("trn1", "trn2")}
"""What a target refuses: it has no such numbers."""


@dataclass(frozen=True)
class Run:
    """One kernel to check."""

    feature: str
    case: AttentionCase
    target: str
    cores: int
    arrangement: str
    splits: int

    def __str__(self) -> str:
        return f"{self.feature} on {self.target}, {self.cores} cores, {self.arrangement}: {self.case}"

    def errors(self) -> tuple[float, float]:
        """The relative errors of the output and of LSE."""
        got = run(
            self.case.module_text(),
            self.case.inputs(),
            passes="infer-attention-bounds",
            splits=self.splits,
            target=self.target,
            cores=self.cores,
            arrangement=self.arrangement,
        )
        out, lse = (relative_error(a, b) for a, b in zip(got, self.case.expected(), strict=True))
        return out, lse

    def check(self) -> tuple[float, float]:
        """The errors; raises AssertionError where one is too large."""
        out, lse = self.errors()
        assert out <= TOLERANCE[self.case.dtype], f"{self}: relative error {out}"
        assert lse <= LSE_TOLERANCE[self.case.dtype], f"{self}: relative error {lse} of LSE"
        return out, lse


def sized(case: AttentionCase, keys: int, queries: int) -> AttentionCase:
    """A case of a size; keys fill whole pages, and long sequences come alone."""
    if case.page_size:
        keys = -(-keys // case.page_size) * case.page_size
    if keys > 1000:
        case = replace(case, kv_heads=1, group=1 if queries > 1 else case.group)
    if "document" in case.steps:
        # Queries are keys of a document.
        queries = min(queries, keys)
    return replace(case, keys=keys, queries=queries)


def cases() -> Iterator[Run]:
    """Features x targets x keys x decoding and prefill, arrangements and cores in turn; all of these at 241 keys."""
    turn = itertools.cycle([("keys", 1), ("rows", 2), ("rows", 1), ("keys", 2)])
    for (feature, case), target, keys, queries in itertools.product(FEATURES.items(), TARGETS, KEYS, (1, 130)):
        if keys > 1000 and queries > 1 and (feature not in ("lengths, 0 among them", "causal") or keys > 4096):
            # The keys of a long prefill are worked on as those of a short one; two features stand for all.
            continue
        choices = [next(turn)]
        if keys == 241 and queries == 1:
            choices = list(itertools.product(("keys", "rows"), (1, 2)))
        for arrangement, cores in choices:
            if target == "trn1" and cores == 2:
                if len(choices) > 1:
                    continue
                cores = 1
            splits = 3 if "splits" in feature else 0
            if (feature, target) in MISSING:
                continue
            yield Run(feature, sized(case, keys, queries), target, cores, arrangement, splits)


def covering() -> Iterator[Run]:
    """The cases of which each is the first with its target and feature, or its target, sequence and arrangement."""
    seen: set[tuple[str, ...]] = set()
    turn = itertools.cycle(KEYS[:4])
    wanted = {
        (feature, target): next(turn) for target in TARGETS for feature in FEATURES if (feature, target) not in MISSING
    }
    for item in cases():
        asked, found = wanted[item.feature, item.target], item.case.keys
        if item.case.page_size:
            asked = -(-asked // item.case.page_size) * item.case.page_size
        keys = {(item.feature, item.target)} if asked == found else set()
        decoding = "decoding" if item.case.queries == 1 else "prefill"
        if not item.case.page_size:
            keys.add((str(found), item.target, decoding, item.arrangement))
        if keys - seen:
            seen |= keys
            yield item


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1, help="take every n-th case")
    every = parser.parse_args().sample
    worst: dict[tuple[str, str], tuple[float, int]] = {}
    for item in itertools.islice(cases(), 0, None, every):
        out, _ = item.check()
        largest, count = worst.get((item.feature, item.target), (0.0, 0))
        worst[item.feature, item.target] = (max(largest, out), count + 1)
    print(f"{sum(count for _, count in worst.values())} kernels")
    print("| feature | " + " | ".join(TARGETS) + " |\n|---|" + "---|" * len(TARGETS))
    for feature in FEATURES:
        cells = [worst.get((feature, target)) for target in TARGETS]
        print(f"| {feature} | " + " | ".join("-" if c is None else f"{c[0]:.1e} ({c[1]})" for c in cells) + " |")


if __name__ == "__main__":
    main()
