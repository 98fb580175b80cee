"""
The instructions of the loop over keys of the kernels for quantised caches: `python -m benchmarks.instructions`.

Kernels of the suite `quant` are compiled for compute capability 9.0 as they are on a GPU, which need not be there, and
disassembled by the tool that Triton brings. All counts are warp instructions for one key of one KV head: those of the
loop body times the warps of a program, over its keys and heads.
"""

# Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

import flashlower as fl
from benchmarks.candidates import Given
from benchmarks.cases import SUITES, Case
from benchmarks.peers import quantized_module_of
from benchmarks.quantized import FORMATS, Format, make_quantized_inputs
from benchmarks.tune import schedule_fields
from flashlower.lowering.triton.loading import load_source

CLASSES = {
    "matrix": ("HMMA", "HGMMA", "IMMA"),
    "bits": ("PRMT", "LOP3", "SHF"),
    "16-bit floats": ("HFMA2", "HMUL2"),
    "conversions": ("F2FP", "HADD2", "I2FP", "I2F", "F2F"),
    "32-bit floats": ("FMUL", "FADD", "FFMA", "FMNMX", "FSEL", "MUFU"),
    "shared memory": ("LDS", "LDSM", "STS", "STSM"),
    "copies": ("LDGSTS", "LDG"),
}
"""Opcodes by what they are for; HADD2 is what f16 becomes f32 by."""


class HopperDriver:
    """What Triton asks of a GPU when it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


@dataclass(frozen=True)
class Loop:
    """The loop over keys of a kernel."""

    fields: dict[str, int]
    """The schedule."""
    instructions: list[str]

    @property
    def per_key(self) -> float:
        """Warp instructions a key and head that one instruction of the loop is."""
        return self.fields["warps"] / (self.fields["block_n"] * self.fields.get("heads", 1))

    def opcodes(self) -> list[str]:
        """All that occur, with their modifiers."""
        return sorted({each.split(" ")[0] for each in self.instructions})

    def counts(self) -> dict[str, float]:
        """Warp instructions a key and head, by class; `all` are all of them."""
        opcodes = Counter(re.split(r"[. ]", each)[0] for each in self.instructions)
        found = {name: sum(opcodes.pop(each, 0) for each in members) for name, members in CLASSES.items()}
        found = {"all": len(self.instructions), **found, "other": opcodes.total()}
        return {name: round(count * self.per_key, 2) for name, count in found.items()}


def key_loop(case: Case, form: Format, hardware: str = "h100", given: Given | None = None) -> Loop:
    """Compiles the kernel of a case and format under the cost model's schedule, or with some fields given."""
    module, args = quantized_module_of(make_quantized_inputs(case, form, "meta", torch.bfloat16)[0])
    kernel = fl.compile(module, hardware=hardware, schedule=given)
    launches: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *a: Any, grid: Any, warmup: bool, **k: Any) -> Any:
        # The kernel that puts splits together has no such loop.
        if not launches:
            launches.append(run(self, *a, grid=grid, warmup=True, **k))

    driver.set_active(HopperDriver())
    with patch.object(JITFunction, "run", compile_only):
        getattr(load_source(kernel.source, interpret=False), kernel.entry)(*args)
    return Loop(schedule_fields(kernel.stages["flash-decoding"]), loop_of(disassemble(launches[0].asm["cubin"])))


def disassemble(cubin: bytes) -> str:
    """The SASS of a binary."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/nvdisasm"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True).stdout


def loop_of(sass: str) -> list[str]:
    """The instructions, without predicates, of the loop that has most matrix instructions."""
    labels: dict[str, int] = {}
    code: list[str] = []
    best: list[str] = []
    for line in map(str.strip, sass.splitlines()):
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(code)
        elif found := re.match(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(.*?)\s*;", line):
            code.append(found[1])
            back = re.match(r"BRA.*\((\.L_x_\d+)\)", found[1])
            if back and back[1] in labels:
                body = code[labels[back[1]] :]
                best = max(best, body, key=_matrix_instructions)
    return best


def _matrix_instructions(code: list[str]) -> int:
    return sum(each.startswith(CLASSES["matrix"]) for each in code)


def table(results: dict[str, Any]) -> str:
    """Markdown: formats by classes."""
    rows = results["rows"]
    names = list(rows[0]["counts"])
    lines = [f"{results['case']} on {results['hardware']}, triton {results['triton']}", ""]
    lines += ["| format | keys, heads, warps, stages | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        fields = row["fields"]
        tile = f"{fields['block_n']}, {fields.get('heads', 1)}, {fields['warps']}, {fields['stages']}"
        counts = " | ".join(f"{row['counts'][name]:.1f}" for name in names)
        lines.append(f"| {row['format']} | {tile} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.instructions")
    parser.add_argument("--hardware", default="h100", help="the target of the cost model: h100 or h200")
    parser.add_argument("--formats", nargs="*", default=[""], help="formats whose names begin so; all if not given")
    parser.add_argument("--case", default="B32", help="a shape of the suite `quant` whose name begins so")
    parser.add_argument("--json", action="store_true", help="print fields, counts and opcodes as JSON")
    parser.add_argument("--out", type=Path, help="where to write the counts, as JSON")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and compile nothing")
    args = parser.parse_args()
    if args.show is not None:
        print(table(json.loads(args.show.read_text())))
        return
    case = next(case for case in SUITES["quant"] if str(case).startswith(args.case))
    results: dict[str, Any] = {"case": str(case), "hardware": args.hardware, "triton": triton.__version__, "rows": []}
    for form in FORMATS:
        if form.name.startswith(tuple(args.formats)):
            loop = key_loop(case, form, args.hardware)
            row = {"format": form.name, "fields": loop.fields, "counts": loop.counts()}
            results["rows"].append({**row, "opcodes": loop.opcodes()})
    if args.out is not None:
        kept = [{name: row[name] for name in ("format", "fields", "counts")} for row in results["rows"]]
        lines = ",\n".join(f"  {json.dumps(row)}" for row in kept)
        head = json.dumps({name: value for name, value in results.items() if name != "rows"})[1:-1]
        args.out.write_text(f'{{{head}, "rows": [\n{lines}\n]}}\n')
    print(json.dumps(results["rows"]) if args.json else table(results))


if __name__ == "__main__":
    main()
