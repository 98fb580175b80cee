"""The loop of the fuzzer: random attention, known near misses and changes of any edge, in turn."""

from __future__ import annotations

import time
import traceback
from collections import Counter

from attention_graphs.check import check, check_mutated
from attention_graphs.generate import MUTANTS, generate


def fuzz(seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Runs for so long, and prints failures by seed. Returns the numbers of cases of each kind, and the failures."""
    end = time.monotonic() + seconds
    seed *= 1_000_000
    counts: Counter[str] = Counter()
    failures: list[str] = []
    while time.monotonic() < end:
        kind = seed % 3
        mutant = MUTANTS[seed // 3 % len(MUTANTS)] if kind == 1 else None
        name = "changed edge" if kind == 2 else mutant or "attention"
        try:
            case = generate(seed, mutant, dtype="f64" if kind == 2 else None)
            fused = check_mutated(case, seed) if kind == 2 else check(case)
            counts[f"{name}: fused"] += bool(fused)
            counts[name] += fused is not None
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            failures.append(f"seed {seed} {name}: {type(e).__name__} at {where.name}:{where.lineno}: {str(e)[:400]}")
            print(failures[-1], flush=True)
        seed += 1
    return counts, failures
