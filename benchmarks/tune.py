"""
Times every schedule worth trying, and stores all of them: `python -m benchmarks.tune --hardware h100`.

The cost model (`rewrites/schedule/`) is not made of these numbers but held to them: a test compares its choice for
every shape with the best that was found here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from triton.runtime.jit import JITFunction

import flashlower as fl
from benchmarks.attention import TOLERANCE, error, machine
from benchmarks.cases import SUITES, Case, Inputs, make_inputs
from benchmarks.peers import module_of
from benchmarks.timing import graph_time
from flashlower.lowering.triton.loading import load_source
from flashlower.rewrites.schedule.targets import get_target

DIRECTORY = Path(__file__).parent / "schedules"

FIELDS = ("splits", "block_n", "warps", "stages")

TILES = (
    (32, 2, 4),
    (32, 4, 3),
    (32, 4, 4),
    (64, 2, 3),
    (64, 4, 2),
    (64, 4, 3),
    (64, 4, 4),
    (64, 8, 3),
    (128, 4, 2),
    (128, 8, 2),
    (128, 8, 3),
)
"""Keys of a tile, warps and stages of a program."""

WAVES = (0.5, 1, 2, 3, 4)
"""How many programs a core should have: each gives a number of splits."""


@dataclass(frozen=True)
class Config:
    """One schedule of one case."""

    splits: int
    block_n: int
    warps: int
    stages: int

    @property
    def schedule(self) -> dict[str, int]:
        return {"block_n": self.block_n, "warps": self.warps, "stages": self.stages}


def configs(case: Case, cores: int) -> list[Config]:
    """What to try for a case."""
    programs = case.batch * case.kv_heads
    found: dict[Config, None] = {}
    for block_n, warps, stages in TILES:
        most = max(case.keys // block_n, 1)
        for waves in WAVES:
            found[Config(min(max(int(waves * cores / programs), 1), most, 128), block_n, warps, stages)] = None
        found[Config(1, block_n, warps, stages)] = None
    return list(found)


def compile_kernels(module: str, config: Config, hardware: str, args: list[Any]) -> str | None:
    """Fills Triton's cache with the kernels of a schedule, from another process; returns what went wrong."""
    run = JITFunction.run
    JITFunction.run = lambda self, *a, grid, warmup, **k: run(self, *a, grid=grid, warmup=True, **k)
    try:
        kernel = fl.compile(module, splits=config.splits, hardware=hardware, schedule=config.schedule)
        tensors = [torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in args]
        getattr(load_source(kernel.source, interpret=False), kernel.entry)(*tensors)
    except Exception as e:
        return f"{type(e).__name__}: {str(e)[:200]}"
    finally:
        JITFunction.run = run
    return None


def tune(case: Case, hardware: str, pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """A row for every schedule that works: what it is, and seconds a call."""
    inputs = make_inputs(case, "cuda", torch.bfloat16)
    module, args = module_of(inputs[0])
    sets = [args, *(module_of(each)[1] for each in inputs[1:])]
    tried = configs(case, get_target(hardware).cores)
    shapes = [(tuple(t.shape), t.stride(), t.dtype) for t in args]
    problems = pool.map(compile_kernels, [module] * len(tried), tried, [hardware] * len(tried), [shapes] * len(tried))
    rows: list[dict[str, Any]] = []
    for config, problem in zip(tried, problems):
        if problem is None:
            kernel = fl.compile(module, splits=config.splits, hardware=hardware, schedule=config.schedule)
            found = _measure(kernel, sets, inputs[0])
            if isinstance(found, float):
                rows.append({**vars(config), "seconds": found})
                continue
            problem = found
        print(f"{case} {config}: {problem}", file=sys.stderr)
    return sorted(rows, key=lambda row: row["seconds"])


def _measure(kernel: Any, sets: list[list[torch.Tensor]], inputs: Inputs) -> float | str:
    try:
        found = error(lambda: kernel(*sets[0]), inputs, paged=True)
        if not found < TOLERANCE:
            return f"relative error {found}"
        return graph_time([lambda args=args: kernel(*args) for args in sets], least_calls=8, milliseconds=3)
    except Exception as e:
        return f"{type(e).__name__}: {str(e)[:200]}"


def as_text(results: dict[str, Any]) -> str:
    """JSON with a line for each schedule."""
    head = json.dumps({name: value for name, value in results.items() if name != "cases"})[1:-1]
    cases = ",\n".join(
        f"{json.dumps(case)}: [\n" + ",\n".join(map(json.dumps, rows)) + "\n]"
        for case, rows in results["cases"].items()
    )
    return f'{{{head}, "cases": {{\n{cases}\n}}}}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.tune")
    parser.add_argument("--hardware", default="h100", help="the target of the cost model that this machine is")
    parser.add_argument("--suite", default="decode")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {"machine": machine("cuda"), "fields": [*FIELDS, "seconds"], "cases": {}}
    path = args.out or DIRECTORY / f"{args.hardware}.json"
    path.parent.mkdir(exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for case in SUITES[args.suite]:
            rows = tune(case, args.hardware, pool)
            results["cases"][str(case)] = [[*(row[name] for name in FIELDS), row["seconds"]] for row in rows]
            print(f"{case}: {rows[0]} of {len(rows)}", file=sys.stderr, flush=True)
            path.write_text(as_text(results))


if __name__ == "__main__":
    main()
