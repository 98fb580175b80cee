"""
Fuzzing of `fuse-attention`: random graphs with attention, and near misses.

    python tests/rewrites/fuzz_attention.py --seconds 60 --seed 1

Every module is run before and after the pass (see `attention_graphs.check`). A failure prints its seed;
`--only SEED` runs that one and prints the module before and after, `--mutant NAME` with that near miss.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attention_graphs.check import check, fused_text
from attention_graphs.fuzz import fuzz
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
    counts, failures = fuzz(args.seconds, args.seed)
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
