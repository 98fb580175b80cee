"""Measures attention of flashlower and of what else is installed, and checks each result: `--help` says how."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import triton

from benchmarks import memory
from benchmarks.cases import QUANTIZED_SUITES, SUITES, Case, Inputs, make_inputs
from benchmarks.peers import TOLERANCE, Call, Peer, installed_peers, installed_quantized_peers
from benchmarks.quantized import FORMATS, QuantizedInputs, make_quantized_inputs
from benchmarks.report import tables
from benchmarks.timing import copy_bandwidth, graph_time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.attention")
    parser.add_argument("--suite", default="decode", help=f"of {', '.join(SUITES)}; several with commas")
    parser.add_argument("--peers", default="", help="only peers whose name contains one of these, with commas")
    parser.add_argument("--out", type=Path, help="where to write the measurements, as JSON")
    args = parser.parse_args()
    unknown = [name for name in args.suite.split(",") if name not in SUITES]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = args.peers.lower().split(",")
    peers = [p for p in installed_peers(device) if any(w in p.name.lower() for w in wanted)]
    results: dict[str, Any] = {"machine": machine(device), "rows": []}
    for suite in args.suite.split(","):
        for case in SUITES[suite]:
            rows = measure(case, peers, device, bound=any(w in "memory" for w in wanted))
            if suite in QUANTIZED_SUITES:
                rows += measure_quantized(case, device, wanted)
            for row in rows:
                results["rows"].append({"suite": suite, **row})
                print(json.dumps(row), file=sys.stderr, flush=True)
            if args.out:
                args.out.write_text(json.dumps(results, indent=1))
    print(tables(results))
    if any("error" in row for row in results["rows"]):
        sys.exit("some results are wrong or missing: see the rows above")


def machine(device: str) -> dict[str, Any]:
    """The machine and the versions that measurements hold for."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    if device == "cpu":
        return {"name": "CPU, Triton's interpreter: no times", **found}
    return {"name": torch.cuda.get_device_name(), "copy_bytes_per_second": copy_bandwidth(), **found}


def measure(case: Case, peers: list[Peer], device: str, *, bound: bool) -> list[dict[str, Any]]:
    """A row for every peer that can compute the case, and with `bound` what memory allows at best."""
    # Triton's interpreter has no dot products of bfloat16.
    inputs = make_inputs(case, device, torch.bfloat16 if device == "cuda" else torch.float32)
    rows: list[dict[str, Any]] = []
    for peer in peers:
        if not peer.supports(case):
            continue
        row: dict[str, Any] = {"case": str(case), "peer": peer.name, "paged": peer.paged}
        found = outcome(
            peer.prepare, inputs, device, paged=peer.paged, kv_bytes=case.kv_bytes(), tolerance=peer.tolerance
        )
        rows.append({**row, **found})
    if bound and device == "cuda" and memory.is_bound(case):
        for paged in (True, False):
            seconds = graph_time([memory.prepare(each, paged=paged) for each in inputs])
            row = {"case": str(case), "peer": "memory, paged" if paged else "memory", "paged": paged, "bound": True}
            rows.append({**row, "seconds": seconds, "kv_bytes": case.kv_bytes()})
    return rows


def measure_quantized(case: Case, device: str, wanted: list[str]) -> list[dict[str, Any]]:
    """A row for every format and every peer that can read it."""
    peers = [p for p in installed_quantized_peers(device) if any(w in p.name.lower() for w in wanted)]
    rows: list[dict[str, Any]] = []
    for form in FORMATS:
        readers = [peer for peer in peers if peer.supports(form)]
        if not readers:
            continue
        inputs = make_quantized_inputs(case, form, device, torch.bfloat16 if device == "cuda" else torch.float32)
        for peer in readers:
            row: dict[str, Any] = {"case": str(case), "format": form.name, "peer": peer.name, "paged": True}
            found = outcome(
                peer.prepare, inputs, device, paged=True, kv_bytes=form.kv_bytes(case), tolerance=peer.tolerance
            )
            rows.append({**row, **found})
        del inputs
    return rows


def outcome(
    prepare: Callable[[Any], Call],
    inputs: Sequence[Any],
    device: str,
    *,
    paged: bool,
    kv_bytes: int,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """The error of one implementation, and on a GPU its time."""
    found: dict[str, Any] = {}
    try:
        calls = [prepare(each) for each in inputs]
        found["relative_error"] = error(calls[0], inputs[0], paged)
        if not found["relative_error"] <= tolerance:
            raise ValueError(f"a relative error of {found['relative_error']:.1e}, more than {tolerance:.1e}")
        if device == "cuda":
            found.update(seconds=graph_time(calls), kv_bytes=kv_bytes, flops=inputs[0].case.flops())
    except Exception as e:
        # One that fails must not cost the measurements of the others.
        found["error"] = f"{type(e).__name__}: {str(e)[:300]}"
    return found


def error(call: Call, inputs: Inputs | QuantizedInputs, paged: bool) -> float:
    """The relative error of up to three sequences; infinite where something is not finite."""
    out = call()
    sequences = sorted({0, inputs.case.batch // 2, inputs.case.batch - 1})
    expected = torch.stack([inputs.reference(i, paged=paged) for i in sequences])
    found = out[sequences].float()
    if not torch.isfinite(found).all():
        return float("inf")
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


if __name__ == "__main__":
    main()
