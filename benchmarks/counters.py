"""
Hardware counters of decode steps on quantised caches, by Nsight Compute: `python -m benchmarks.counters --out x.json`.

Needs a GPU and `ncu`, which starts this command again and counts in one launch of each kernel after a first one. The
caches are read from memory: ncu flushes the L2 cache before every pass.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.attention import machine
from benchmarks.cases import SUITES, Case, make_inputs
from benchmarks.peers import installed_peers, installed_quantized_peers
from benchmarks.quantized import FORMATS, Format, make_quantized_inputs

STALLED = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"

METRICS = {
    "us": ("gpu__time_duration.sum", 1e-3),
    "issue slots, %": ("smsp__issue_active.avg.pct_of_peak_sustained_active", 1.0),
    "warp instructions, M": ("smsp__inst_executed.sum", 1e-6),
    "memory, TB/s": ("dram__bytes_read.sum.per_second", 1e-12),
    "memory, %": ("dram__throughput.avg.pct_of_peak_sustained_elapsed", 1.0),
    "L2, %": ("lts__throughput.avg.pct_of_peak_sustained_elapsed", 1.0),
    "warps a scheduler": ("smsp__warps_active.avg.per_cycle_active", 1.0),
    "loads": (STALLED.format("long_scoreboard"), 1.0),
    "shared memory": (STALLED.format("short_scoreboard"), 1.0),
    "MIO": (STALLED.format("mio_throttle"), 1.0),
    "barriers": (STALLED.format("barrier"), 1.0),
    "fixed": (STALLED.format("wait"), 1.0),
}
"""Columns: a metric of ncu, and what it is multiplied with. From `loads` on: warps that wait for it at an issue."""


def measure(cases: list[Case], formats: list[Format]) -> None:
    """Calls every kernel twice; ncu counts in the second call."""
    profiler = torch.cuda.profiler
    for case in cases:
        for form in (None, *formats):
            if form is None:
                (peer,) = [peer for peer in installed_peers("cuda") if peer.name == "flashlower"]
                call = peer.prepare(make_inputs(case, "cuda", torch.bfloat16)[0])
            else:
                (peer,) = [peer for peer in installed_quantized_peers("cuda") if peer.name == "flashlower"]
                call = peer.prepare(make_quantized_inputs(case, form, "cuda", torch.bfloat16)[0])
            call()
            torch.cuda.synchronize()
            profiler.start()
            call()
            torch.cuda.synchronize()
            profiler.stop()
            del call
            torch.cuda.empty_cache()


def counted(cases: list[Case], formats: list[Format], arguments: list[str]) -> list[dict[str, Any]]:
    """A row for every case and format: the kernel that reads K and V, not the one that puts splits together."""
    if shutil.which("ncu") is None:
        sys.exit("ncu is not on the PATH: install Nsight Compute, or print a file of counters by --show")
    command = ["ncu", "--profile-from-start", "off", "--clock-control", "none", "--csv", "--page", "raw"]
    command += ["--print-units", "base", "--metrics", ",".join(metric for metric, _ in METRICS.values())]
    done = subprocess.run(
        [*command, sys.executable, "-m", "benchmarks.counters", "--measure", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = rows_of(done.stdout)
    wanted = [(case, form) for case in cases for form in (None, *formats)]
    if len(rows) != len(wanted):
        sys.exit(f"{len(rows)} kernels of {len(wanted)} were counted\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return [
        {"case": str(case), "format": "bf16" if form is None else form.name, **row}
        for (case, form), row in zip(wanted, rows)
    ]


def rows_of(output: str) -> list[dict[str, float]]:
    """The columns of every kernel in the CSV of ncu, but those that put splits together."""
    lines = [line for line in output.splitlines() if line.startswith('"')]
    # The first line after the names has units.
    kernels = list(csv.DictReader(io.StringIO("\n".join(lines))))[1:]
    return [
        {
            name: float(f"{_number(kernel[metric]) * factor:.5g}")
            for name, (metric, factor) in METRICS.items()
            if metric in kernel
        }
        for kernel in kernels
        if "combine" not in kernel["Kernel Name"]
    ]


def _number(text: str) -> float:
    """A number of ncu, nan where it has none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return float("nan")


def table(results: dict[str, Any]) -> str:
    """Markdown: the columns of every kernel."""
    names = [name for name in METRICS if name in results["rows"][0]]
    lines = [results["machine"]["name"], ""]
    lines += ["| case | format | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in results["rows"]:
        cells = [f"{row[name]:.{0 if row[name] >= 100 else 1 if row[name] >= 10 else 2}f}" for name in names]
        lines.append(f"| {row['case']} | {row['format']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.counters")
    parser.add_argument("--formats", nargs="*", default=[""], help="formats whose names begin so; all if not given")
    parser.add_argument("--cases", nargs="*", default=["B32", "B1 "], help="shapes of the suite `quant` that begin so")
    parser.add_argument("--measure", action="store_true", help="call the kernels: what ncu starts")
    parser.add_argument("--out", type=Path, help="where to write the counters, as JSON")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    args = parser.parse_args()
    if args.show is not None:
        print(table(json.loads(args.show.read_text())))
        return
    cases = [case for case in SUITES["quant"] if str(case).startswith(tuple(args.cases))]
    formats = [form for form in FORMATS if form.name.startswith(tuple(args.formats))]
    if args.measure:
        measure(cases, formats)
        return
    rows = counted(cases, formats, ["--cases", *args.cases, "--formats", *args.formats])
    results = {"machine": machine("cuda"), "rows": rows}
    if args.out is not None:
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        args.out.write_text(f'{{"machine": {json.dumps(results["machine"])},\n "rows": [\n{lines}\n ]}}\n')
    print(table(results))


if __name__ == "__main__":
    main()
