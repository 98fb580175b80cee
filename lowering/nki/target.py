"""The `-t nki` target of `xdsl-opt`: kernels as a Python file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from flashlower.lowering.nki.printer import print_module


@dataclass(frozen=True)
class NkiTarget(Target):
    """Prints `nki.kernel` ops as functions with `@nki.jit`."""

    name = "nki"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        """Write the file; raises DiagnosticException when a symbol cannot name a Python function."""
        output.write(print_module(module))
