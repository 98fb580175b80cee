"""
Microseconds of the CPU in a warm call, beside the launches in it.

    python -m benchmarks.overhead --out overhead.json    # on a GPU
    python -m benchmarks.overhead --show overhead.json   # the table
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton
from triton.runtime.jit import JITFunction

import flashlower as fl
from benchmarks.cases import Case, make_inputs
from benchmarks.peers import module_of

CALLS = 100
ROUNDS = 101
CASE = Case(1, 32, 8, 128, 1024)
"""So small that the GPU is done before the CPU has launched more."""


def microseconds(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median round of each call; rounds take turns, so that what else the machine does meets all of them."""
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(CALLS):
                call()
            rounds[name].append((time.perf_counter() - begin) / CALLS * 1e6)
    torch.cuda.synchronize()
    return {name: statistics.median(times) for name, times in rounds.items()}


def recorded_launches(call: Callable[[], Any]) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """What a call hands to Triton: kernels, positional arguments, and the rest."""
    launches: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    run = JITFunction.run

    def record(self: Any, *args: Any, **options: Any) -> Any:
        launches.append((self, args, options))
        return run(self, *args, **options)

    JITFunction.run = record
    try:
        call()
    finally:
        JITFunction.run = run
    return launches


def measure() -> dict[str, Any]:
    """Times by what was called."""
    inputs = make_inputs(CASE, "cuda", torch.bfloat16)[0]
    module, args = module_of(inputs)
    kernel = fl.compile(module)
    begin = time.perf_counter()
    launches = recorded_launches(lambda: kernel(*args))
    first = time.perf_counter() - begin

    def through_triton() -> None:
        for function, arguments, options in launches:
            function.run(*arguments, **options)

    (remembered,) = kernel.launcher(kernel.entry).plans()
    compiled = [(launch.start, launch.arguments) for launch in remembered.plan.launches]
    out, workspace = torch.empty_like(inputs.q), torch.empty(kernel.workspace_size(), dtype=torch.uint8, device="cuda")
    block = workspace.data_ptr()
    plan = remembered.plan
    addresses = [tensor.data_ptr() for tensor in (*args, out)] + [block + offset for offset in plan.offsets]
    addresses += plan.constants
    prepared = [(start, arguments(addresses)) for start, arguments in compiled]

    def bare() -> None:
        for start, arguments in prepared:
            start(*arguments)

    options = {"layout": "bshd", "kv_lens": inputs.kv_lens, "block_table": inputs.block_table}

    def attention(**more: Any) -> Any:
        return fl.attention(inputs.q, inputs.k, inputs.v, **options, **more)

    calls: dict[str, Callable[[], Any]] = {
        f"Triton's kernel[grid], {len(launches)} launches by hand": through_triton,
        "Triton's compiled kernels, the same launches by hand": bare,
        "kernel(q, k, v, ...)": lambda: kernel(*args),
        "kernel(..., out=, workspace=)": lambda: kernel(*args, out=out, workspace=workspace),
        "flashlower.attention(...)": attention,
        "flashlower.attention(..., out=, workspace=)": lambda: attention(out=out, workspace=workspace),
        "flashlower.attention(..., score=causal())": lambda: attention(score=fl.causal()),
    }
    for call in calls.values():
        call()
    return {
        "device": torch.cuda.get_device_name(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, triton {triton.__version__}",
        "case": str(CASE),
        "first_seconds": first,
        "microseconds": microseconds(calls),
    }


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    times = results["microseconds"]
    launches = list(times.values())[:2]
    lines = [
        f"{results['device']}, {results['versions']}; {results['case']} bfloat16, in pages",
        f"The first call of this shape, Triton's compiler included: {results['first_seconds']:.1f} s",
        "",
        "| warm call | us | beyond kernel[grid] | beyond compiled kernels |",
        "|---|---|---|---|",
    ]
    for name, us in times.items():
        lines.append(f"| {name} | {us:.1f} | {us - launches[0]:.1f} | {us - launches[1]:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--out", type=Path, help="where results are written, as JSON")
    parser.add_argument("--show", type=Path, help="results to print again; nothing is measured")
    options = parser.parse_args()
    results = measure() if options.show is None else json.loads(options.show.read_text())
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
