"""Microseconds of Python in a warm call, beyond Triton's launches: `python -m benchmarks.overhead`, on a GPU."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from triton.runtime.jit import JITFunction

import flashlower as fl
from benchmarks.cases import Case, make_inputs
from benchmarks.peers import module_of

CALLS = 2000


def microseconds(call: Any) -> float:
    """The median of five rounds."""
    rounds: list[float] = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - begin) / CALLS * 1e6)
        torch.cuda.synchronize()
    return statistics.median(rounds)


def main() -> None:
    inputs = make_inputs(Case(1, 32, 8, 128, 1024), "cuda", torch.bfloat16)[0]
    module, args = module_of(inputs)
    kernel = fl.compile(module)
    kernel(*args)
    whole = microseconds(lambda: kernel(*args))
    run = JITFunction.run
    JITFunction.run = lambda self, *args, **options: None
    try:
        ours = microseconds(lambda: kernel(*args))
    finally:
        JITFunction.run = run
    print(f"a warm call: {whole:.1f} us on the CPU, of which {ours:.1f} us are not Triton's launches")


if __name__ == "__main__":
    main()
