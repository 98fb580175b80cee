"""The targets `-t nki` and `-t nki-cost` of `xdsl-opt`: kernels as a Python file, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from flashlower.dialects.nki import KernelOp
from flashlower.lowering.nki.cost import account, launch_account
from flashlower.lowering.nki.printer import print_module


@dataclass(frozen=True)
class NkiTarget(Target):
    """Prints `nki.kernel` ops as functions with `@nki.jit`."""

    name = "nki"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        """Write the file; raises DiagnosticException when a symbol cannot name a Python function."""
        output.write(print_module(module))


@dataclass(frozen=True)
class NkiCostTarget(Target):
    """Prints the cost account of every `nki.kernel`: what each engine of a core has to do, and what a launch moves."""

    name = "nki-cost"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        """Write a table for each kernel."""
        for kernel in module.body.ops:
            if isinstance(kernel, KernelOp):
                target, cores = kernel.target.data, kernel.cores.value.data
                share, all_cores = (f", the busiest of {cores} cores", f"{cores} cores: ") if cores > 1 else ("", "")
                output.write(f"{kernel.sym_name.data} on {target}{share}\n{account(kernel).table()}\n")
                output.write(f"{all_cores}{launch_account(kernel).traffic}\n")
