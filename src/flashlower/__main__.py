"""
`python -m flashlower MODULE.mlir`: lowers the attention of an exported module, and checks what came out.

Writes the IR after each pass and the kernel file to a directory, runs the module with the emitted kernels, and prints
the error against expected outputs. Inputs and expected outputs (`in0`, `in1`, ..., `out0`, ...) come from an .npz file,
by default the one beside the module; without one, inputs are drawn at random and the unfused module says what
to expect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

import flashlower as fl
from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import argument_types, run_module
from flashlower.lowering.interpret import as_tuple

Array = NDArray[Any]


def relative_error(actual: Array, expected: Array) -> float:
    """||actual - expected|| / ||expected|| in float64; NaN where the result has NaN and the expectation has not."""
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    return float(np.linalg.norm((a - b).ravel()) / max(float(np.linalg.norm(b.ravel())), 1e-300))


def _data(module: ModuleOp, path: Path | None) -> tuple[list[Array], list[Array], str]:
    """Inputs, expected outputs, and where these come from."""
    types = argument_types(module)
    if path is not None:
        with np.load(path) as data:
            inputs = [data[f"in{i}"].astype(dtype) for i, (_, dtype) in enumerate(types)]
            expected = [
                data[name] for name in sorted((n for n in data.files if n[:3] == "out"), key=lambda n: int(n[3:]))
            ]
        return inputs, expected, str(path)
    rng = np.random.default_rng(0)
    inputs = [
        rng.integers(0, 2, shape).astype(dtype) if dtype.kind in "iub" else rng.standard_normal(shape).astype(dtype)
        for shape, dtype in types
    ]
    return inputs, list(run_module(module, inputs)), "the unfused module on random inputs"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 where the module cannot be lowered or the error is too large."""
    parser = argparse.ArgumentParser(prog="flashlower", description=(__doc__ or "").strip().partition("\n\n")[0])
    parser.add_argument("module", type=Path, help="StableHLO in MLIR's generic form")
    parser.add_argument("--data", type=Path, help="inputs and expected outputs (default: MODULE.npz, if there is one)")
    parser.add_argument("--splits", default="auto", help="splits of flash decoding: a number, or auto (default)")
    parser.add_argument("--tolerance", type=float, default=1e-2, help="largest relative error (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="directory to write to (default: build/flashlower/MODULE)")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except (DiagnosticException, ImportError, OSError, ValueError, TypeError) as e:
        print(f"flashlower: {e}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    path: Path = args.module
    output: Path = args.output or Path("build", "flashlower", path.stem)
    splits: Any = int(args.splits) if args.splits.isdecimal() else args.splits
    module = parse_module(path.read_text(encoding="utf-8"), name=str(path))
    kernel = fl.compile(module, splits=splits)

    output.mkdir(parents=True, exist_ok=True)
    for i, (name, text) in enumerate(kernel.stages.items()):
        stage = output / f"{i}-{name}.mlir"
        stage.write_text(text + "\n", encoding="utf-8")
        print(f"stage  {stage}")
    found = kernel.stages["fuse-attention"].count("attention.sdpa")
    print(f"found  {found} attention group{'' if found == 1 else 's'}")

    beside = path.with_suffix(".npz")
    inputs, expected, source = _data(module, args.data or (beside if beside.exists() else None))
    results = as_tuple(fl.interpret(module, *inputs, kernels="triton", splits=splits))
    errors = [relative_error(r, e) for r, e in zip(results, expected, strict=True)]
    for i, (result, error) in enumerate(zip(results, errors, strict=True)):
        print(f"result {i}: {list(result.shape)} {result.dtype}, relative error {error:.1e}")
    print(f"against {source}")
    print(f"kernel {kernel.save(output / f'{path.stem}.py')}")
    # NaN compares false.
    return 0 if all(error <= args.tolerance for error in errors) else 1


if __name__ == "__main__":
    sys.exit(main())
