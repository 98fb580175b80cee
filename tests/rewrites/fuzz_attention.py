"""
Fuzzing of `fuse-attention`: random graphs with attention, and near misses.

    python tests/rewrites/fuzz_attention.py --seconds 60 --seed 1

Every module is run before and after the pass (see `attention_graphs.check`). A failure prints its seed;
`--only SEED` runs that one and prints the module before and after, `--mutant NAME` with that near miss.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attention_graphs.check import check, check_mutated, fused_text
from attention_graphs.generate import MUTANTS, generate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--mutant", choices=MUTANTS)
    args = parser.parse_args()
    if args.only is not None:
        case = generate(args.only, args.mutant)
        print(case.text)
        print(fused_text(case))
        print(check(case), "fused")
        return 0
    end = time.monotonic() + args.seconds
    seed = args.seed * 1_000_000
    counts: collections.Counter[str] = collections.Counter()
    while time.monotonic() < end:
        # Attention, a near miss that is known, and one that is a change of any edge, in turn.
        kind = seed % 3
        mutant = MUTANTS[seed // 3 % len(MUTANTS)] if kind == 1 else None
        name = "changed edge" if kind == 2 else mutant or "attention"
        try:
            case = generate(seed, mutant, dtype="f64" if kind == 2 else None)
            fused = check_mutated(case, seed) if kind == 2 else check(case)
            counts[f"{name}: fused"] += bool(fused)
            counts[name] += fused is not None
        except Exception as e:
            counts["failures"] += 1
            where = traceback.extract_tb(e.__traceback__)[-1]
            print(f"seed {seed} {name}: {type(e).__name__} at {where.name}:{where.lineno}: {str(e)[:400]}", flush=True)
        seed += 1
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    return 1 if counts["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
