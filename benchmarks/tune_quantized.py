"""
Times schedules of decode steps on quantised caches, and adds them to a file, with what was measured before.

`python -m benchmarks.tune_quantized --hardware h100` goes through all formats and shapes of the suite `quant` in some
minutes, `--formats fp8 --cases B32` takes seconds. As in `benchmarks.tune`, processes on all cores
compile while the GPU measures. Times of flashlower on contiguous bf16 of the same run stand under `bf16`; times of
different runs do not compare. `--compare FILE` measures nothing: it shows the choices of the cost model beside the best
of each run. A test holds them to within 5%.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import product
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.attention import machine
from benchmarks.cases import PAGE_SIZE, SUITES, Case, make_inputs
from benchmarks.peers import installed_peers, quantized_module_of
from benchmarks.quantized import FORMATS, Format, make_quantized_inputs
from benchmarks.timing import graph_time
from benchmarks.tune import (
    DIRECTORY,
    Compiled,
    Given,
    as_text,
    compile_candidate,
    measure_all,
    schedule_fields,
)
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.schedule import ScheduleAttentionPass, TargetDescription, get_target

TILES = tuple(product((32, PAGE_SIZE), (1, 2, 4), (2, 3, 4)))
"""Keys, warps and stages."""

WAVES = (1, 2, 3, 4, 6, 8, 12)
"""Programs that a core should have at once: each gives a number of splits."""

WARPS_OF_CORE = 8
"""About what a core should have, of warps that mostly wait for memory."""

IN_FLIGHT = 64 << 10
"""Bytes that a core should have asked for at any time."""


def candidates(case: Case, form: Format, target: TargetDescription, most: int) -> list[Given]:
    """
    Up to `most` schedules: the cost model's choice, that with one field changed, and others, likely ones first.

    Likely are those with some warps on a core, enough bytes under way, and few splits.
    """
    token = form.kv_bytes(case) / sum(case.lengths()) / case.kv_heads
    found: list[tuple[float, Given]] = []
    for (keys, warps, stages), heads, waves in product(TILES, (1, 2), WAVES):
        work = case.batch * case.kv_heads // heads
        splits = min(max(int(waves * target.cores / work), 1), 128, case.keys // keys)
        a_core = min(splits * work / target.cores, 64 / warps)
        buffers = (stages - 1) * keys * token * heads
        resident = min(a_core, target.shared_memory_bytes / (buffers + (4 << 10)))
        pairs = not form.head_major and form.group != case.head_size
        if (heads > 1 and not pairs) or resident < 0.9 * a_core:
            continue
        under_way = math.log2(resident * buffers / IN_FLIGHT)
        cost = abs(math.log2(resident * warps / WARPS_OF_CORE)) + max(-under_way, 0.3 * under_way)
        cost += 0.1 * math.log2(splits) + abs(math.log2(keys / warps / 32))
        tile = {"block_m": 8, "block_n": keys, "warps": warps, "stages": stages, "transposed": 1, "assembly": 1}
        found.append((cost, {**tile, "heads": heads, "half": 1, "splits": splits, "pdl": 0}))
    found.sort(key=lambda item: item[0])
    unique = list({tuple(given.items()): given for _, given in found}.values())
    return [{}, {"pdl": 0}, {"pdl": 1}, {"half": 1}, {"half": 0}, {"half": 1, "kernels": 1}, *unique][:most]


class Tuning:
    """The schedules of one shape and format, on their way through the compiler."""

    def __init__(self, case: Case, form: Format, hardware: str, pool: ProcessPoolExecutor, most: int):
        self.case, self.form = case, form
        module, args = quantized_module_of(make_quantized_inputs(case, form, "meta", torch.bfloat16)[0])
        shapes = [(tuple(t.shape), t.stride(), t.dtype) for t in args]
        self.compiled: Sequence[Future[Compiled]] = [
            pool.submit(compile_candidate, module, given, hardware, shapes)
            for given in candidates(case, form, get_target(hardware), most)
        ]

    def measure(self, deadline: float) -> list[dict[str, Any]]:
        """A row for every schedule that works, until the deadline: its fields, and seconds a call."""
        inputs = make_quantized_inputs(self.case, self.form, "cuda", torch.bfloat16)
        sets = [quantized_module_of(each)[1] for each in inputs]
        return measure_all(self.compiled, sets, inputs[0], deadline)


@lru_cache
def chosen_fields(case: Case, form: Format, hardware: str) -> dict[str, int]:
    """The cost model's schedule, and its number of splits."""
    module = parse_module(quantized_module_of(make_quantized_inputs(case, form, "meta", torch.bfloat16)[0])[0])
    for passes in (ScheduleAttentionPass(target=hardware), FlashDecodingPass(target=hardware)):
        passes.apply(make_context(), module)
    return schedule_fields(str(module))


def compare(runs: list[dict[str, Any]], hardware: str) -> str:
    """Markdown: the best schedule of each shape and format of each run, and the cost model's if that run has it."""
    cases = {str(case): case for case in SUITES["quant"]}
    formats = {form.name: form for form in FORMATS}
    lines = ["| run | shape, format | best | cost model | ratio |", "|---" * 5 + "|"]
    for number, run in enumerate(runs, 1):
        for name, rows in run["cases"].items():
            case, _, form = name.partition(", ")
            chosen = _as_measured(chosen_fields(cases[case], formats[form], hardware))
            alone = {name: value for name, value in chosen.items() if name != "pdl"}
            # Runs that are older than launches that overlap say how long the choice takes without.
            same, without = ([row for row in rows if _as_measured(row) == fields] for fields in (chosen, alone))
            mine = same or without
            best, own = min(rows, key=_seconds), min(mine, key=_seconds, default=None)
            cells = ("-", "-") if own is None else (_cell(own), f"{own['seconds'] / best['seconds']:.3f}")
            lines.append(f"| {number} | {name} | {_cell(best)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(row: dict[str, Any]) -> float:
    return row["seconds"]


def _as_measured(fields: dict[str, Any]) -> dict[str, Any]:
    """A schedule without the time, and without fields that say what is so if they are absent."""
    usual = {"pdl": 0, "heads": 1, "half": 0}
    return {name: value for name, value in fields.items() if name != "seconds" and usual.get(name) != value}


def _cell(row: dict[str, Any]) -> str:
    names = {"block_n": "keys", "heads": "heads", "warps": "warps", "stages": "stages", "splits": "splits"}
    fields = [f"{names[name]} {row[name]}" for name in names if name in _as_measured(row)]
    return ", ".join([f"{row['seconds'] * 1e6:.1f} us: {fields[0]}", *fields[1:], *_flags(row)])


def _flags(row: dict[str, Any]) -> list[str]:
    return [name for name in ("half", "pdl") if row.get(name)]


def bf16_seconds(case: Case) -> float:
    """Seconds of a call on contiguous bf16."""
    (peer,) = [peer for peer in installed_peers("cuda") if peer.name == "flashlower"]
    return graph_time([peer.prepare(each) for each in make_inputs(case, "cuda", torch.bfloat16)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.tune_quantized")
    parser.add_argument("--hardware", default="h100", help="the target of the cost model that this machine is")
    parser.add_argument("--formats", nargs="*", default=[""], help="formats whose names begin so; all if not given")
    parser.add_argument("--cases", nargs="*", default=[""], help="shapes of the suite `quant` that begin so")
    parser.add_argument("--most", type=int, default=32, help="the most schedules of a shape and format")
    parser.add_argument("--seconds", type=float, default=3600, help="stop measuring after so many, and keep the rest")
    parser.add_argument("--out", type=Path, help="the file to add to")
    parser.add_argument("--compare", type=Path, help="show the choices of the cost model beside those of such a file")
    args = parser.parse_args()
    if args.compare is not None:
        print(compare(json.loads(args.compare.read_text()), args.hardware))
        return
    deadline = time.monotonic() + args.seconds
    cases = [case for case in SUITES["quant"] if str(case).startswith(tuple(args.cases))]
    formats = [form for form in FORMATS if form.name.startswith(tuple(args.formats))]
    path = args.out or DIRECTORY / "quantized" / f"{args.hardware}.json"
    before = json.loads(path.read_text()) if path.exists() else []
    forkserver.set_forkserver_preload(["benchmarks.attention"])
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        tunings = [Tuning(case, form, args.hardware, pool, args.most) for case in cases for form in formats]
        results: dict[str, Any] = {"machine": machine("cuda"), "bf16": {}, "cases": {}}
        for case in cases:
            results["bf16"][str(case)] = float(f"{bf16_seconds(case):.4g}")
        print(results["bf16"], flush=True)
        for tuning in tunings:
            name = f"{tuning.case}, {tuning.form.name}"
            print(name, flush=True)
            if rows := tuning.measure(deadline):
                results["cases"][name] = rows
                path.write_text(f"[{','.join(map(as_text, [*before, results]))}]\n")
            torch.cuda.empty_cache()
        pool.shutdown(cancel_futures=True)
    print(json.dumps(results["bf16"]), file=sys.stderr)


if __name__ == "__main__":
    main()
