"""The `-t triton` target of `xdsl-opt`: kernels and their launch functions as a Python file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from flashlower.lowering.triton.printer import print_module


@dataclass(frozen=True)
class TritonTarget(Target):
    """Prints `tl.jit` ops as Triton kernels, and the `func.func` ops that launch them as Python functions."""

    name = "triton"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        """Write the file; raises DiagnosticException when a symbol cannot name a Python function."""
        output.write(print_module(module))
