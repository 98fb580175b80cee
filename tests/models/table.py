"""
The table of docs/detection-models.md: what is found in each whole model, and how far its numbers are from its own.

    python -W ignore tests/models/table.py [PATH]

A path (`torch-mlir`, `ONNX`, `JAX`) gives the rows of that path alone. This runs what the tests of this directory
run, and needs the extra `test`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from models import test_jax, test_onnx, test_torch_mlir
from models.checks import RUNS, Export, error, groups_found
from models.jax_models import models, variants
from models.torch_models import IMPLEMENTATIONS, decode, prefill


def exports() -> Iterator[tuple[str, str, Callable[[], Export]]]:
    """Model, path, and how to export it so."""
    for name, implementation in IMPLEMENTATIONS:
        for step in (prefill, decode):
            path = f"torch-mlir, {implementation}, {step.__name__}"
            yield name, path, lambda n=name, i=implementation, s=step: test_torch_mlir.export(n, i, s)
    for name, implementation, opset, step in test_onnx.EXPORTS:
        path = f"ONNX opset {opset}, {implementation}, {step}"
        yield name, path, lambda n=name, i=implementation, o=opset, s=step: test_onnx.export(n, i, o, s)
    for name, model in models(np.float32).items():
        yield name, "JAX", lambda m=model: test_jax.export(m())
    for name, model in variants(np.float32).items():
        yield f"dot_product_attention, {name}", "JAX", lambda m=model: test_jax.export(m)


def main() -> None:
    print("| model | path | groups found / expected | " + " | ".join(RUNS) + " |")
    print("|---|---|---|" + "---|" * len(RUNS))
    wanted = sys.argv[1] if sys.argv[1:] else ""
    for model, path, export in exports():
        if not path.startswith(wanted):
            continue
        case = export()
        errors = " | ".join(f"{error(run(case), case.expected):.1e}" for run in RUNS.values())
        print(f"| {model} | {path} | {groups_found(case.module)} / {case.groups} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
