"""
Times the schedules worth trying of decode shapes in pages, and stores all of them.

`python -m benchmarks.tune --hardware h100` goes through all shapes in some minutes; `--cases "B32 32/8 D64 L16k"` takes
seconds. Processes on all cores compile candidates, of all shapes at once, while the GPU measures those that are ready.

The cost model (`rewrites/schedule.py`) is not made of these numbers but held to them: a test compares its choice for
every shape with the best that was found here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import torch
from triton.runtime.jit import JITFunction

import flashlower as fl
from benchmarks.attention import TOLERANCE, error, machine
from benchmarks.candidates import Given, candidates
from benchmarks.cases import SUITES, Case, Inputs, make_inputs
from benchmarks.peers import module_of
from benchmarks.quantized import QuantizedInputs
from benchmarks.timing import graph_time
from flashlower.dialects.attention import AttentionOp, PartialOp
from flashlower.dialects.parsing import parse_module
from flashlower.lowering.triton.loading import load_source
from flashlower.lowering.triton.runtime import launcher_of
from flashlower.rewrites.schedule import get_target

DIRECTORY = Path(__file__).parent / "schedules"

Shape = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Sizes, strides and dtype of an argument."""


@dataclass(frozen=True)
class Compiled:
    """The emitted file of a schedule, its launch function, and all fields of the schedule, or what went wrong."""

    source: str = ""
    entry: str = ""
    workspace: int = 0
    fields: dict[str, int] = field(default_factory=dict[str, int])
    problem: str | None = None


def compile_candidate(module: str, given: Given, hardware: str, args: Sequence[Shape]) -> Compiled:
    """Emits the kernels of a schedule and fills Triton's cache with them, in another process."""
    run = JITFunction.run
    JITFunction.run = lambda self, *a, grid, warmup, **k: run(self, *a, grid=grid, warmup=True, **k)
    try:
        kernel = fl.compile(module, hardware=hardware, schedule=given)
        tensors = [torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in args]
        getattr(load_source(kernel.source, interpret=False), kernel.entry)(*tensors)
    except Exception as e:
        return Compiled(fields=dict(given), problem=f"{type(e).__name__}: {str(e)[:200]}")
    finally:
        JITFunction.run = run
    fields = schedule_fields(kernel.stages["flash-decoding"])
    return Compiled(kernel.source, kernel.entry, kernel.workspace_size(), fields)


def schedule_fields(module: str) -> dict[str, int]:
    """The schedule of the one attention of a module, and its number of splits where there are no runs."""
    (op,) = [op for op in parse_module(module).walk() if isinstance(op, AttentionOp)]
    assert op.schedule is not None
    fields = op.schedule.fields()
    return fields if "runs" in fields else {**fields, "splits": op.num_splits if isinstance(op, PartialOp) else 1}


@dataclass(frozen=True)
class Tuning:
    """The schedules of one shape, on their way through the compiler."""

    case: Case
    compiled: list[Future[Compiled]]

    @staticmethod
    def start(case: Case, hardware: str, pool: ProcessPoolExecutor, most: int) -> Tuning:
        """Sends up to `most` candidates to the compilers."""
        module, args = module_of(_without_memory(case))
        shapes = [(tuple(t.shape), t.stride(), t.dtype) for t in args]
        tried = candidates(case, get_target(hardware), most)
        return Tuning(case, [pool.submit(compile_candidate, module, given, hardware, shapes) for given in tried])

    def measure(self, deadline: float) -> list[dict[str, Any]]:
        """A row for every schedule that works, until the deadline: its fields, and seconds a call."""
        inputs = make_inputs(self.case, "cuda", torch.bfloat16)
        sets = [module_of(each)[1] for each in inputs]
        return measure_all(self.compiled, sets, inputs[0], deadline)


def measure_all(
    compiled: Sequence[Future[Compiled]],
    sets: list[list[torch.Tensor]],
    inputs: Inputs | QuantizedInputs,
    deadline: float,
) -> list[dict[str, Any]]:
    """Rows of `Tuning.measure`, the fastest first; `sets` are arguments, `inputs` those of the first set."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for future in compiled:
        if time.monotonic() > deadline:
            future.cancel()
            continue
        found = future.result()
        if found.source in seen and found.problem is None:
            continue
        seen.add(found.source)
        seconds = found.problem or measure_compiled(found, sets, inputs)
        if isinstance(seconds, float):
            rows.append({"seconds": float(f"{seconds:.4g}"), **found.fields})
        print(f"{seconds * 1e6:9.1f} us" if isinstance(seconds, float) else seconds, found.fields, flush=True)
    return sorted(rows, key=lambda row: row["seconds"])


def _without_memory(case: Case) -> Inputs:
    """Inputs of a case that have shapes and strides alone."""
    (inputs,) = make_inputs(case, "meta", torch.bfloat16)
    return inputs


def measure_compiled(found: Compiled, sets: list[list[torch.Tensor]], inputs: Inputs | QuantizedInputs) -> float | str:
    """Seconds a call takes, or what is wrong."""
    launcher = launcher_of(found.source, found.entry, found.workspace)
    try:
        relative = error(lambda: launcher(sets[0]), inputs, paged=True)
        if not relative < TOLERANCE:
            return f"relative error {relative}"
        return graph_time([lambda args=args: launcher(args) for args in sets], least_calls=8, milliseconds=3)
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
    parser.add_argument("--cases", help="names of shapes of the suite, with commas; all of them if not given")
    parser.add_argument("--most", type=int, default=64, help="the most schedules of a shape")
    parser.add_argument("--seconds", type=float, default=3600, help="stop measuring after so many, and keep the rest")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    named = {str(case): case for case in SUITES[args.suite]}
    wanted = list(named) if args.cases is None else args.cases.split(",")
    if unknown := [name for name in wanted if name not in named]:
        parser.error(f"no case {', '.join(unknown)}; {args.suite} has {', '.join(named)}")
    path = args.out or DIRECTORY / f"{args.hardware}-lengths.json"
    path.parent.mkdir(exist_ok=True)
    # Compilers are forks of a process that has imported everything, and has no CUDA context.
    forkserver.set_forkserver_preload(["benchmarks.attention"])
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        tunings = [Tuning.start(named[name], args.hardware, pool, args.most) for name in wanted]
        results: dict[str, Any] = {"machine": machine("cuda"), "lengths": True, "cases": {}}
        for tuning in tunings:
            print(tuning.case, file=sys.stderr, flush=True)
            rows = tuning.measure(deadline)
            if not rows:
                continue
            results["cases"][str(tuning.case)] = rows
            print(f"{tuning.case}: {rows[0]} of {len(rows)}", file=sys.stderr, flush=True)
            path.write_text(as_text(results))
            torch.cuda.empty_cache()
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
