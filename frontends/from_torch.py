"""PyTorch modules and functions into stage 0, through torch-mlir."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from flashlower.dialects.parsing import parse_module


def from_torch(module_or_function: Callable[..., Any], *args: Any) -> ModuleOp:
    """
    The StableHLO of a `torch.nn.Module` or a function, exported with these tensors as arguments.

    The module's `main` takes the tensors of the arguments in order; parameters and buffers become constants. Raises
    `ImportError` where PyTorch or torch-mlir is not installed, and what they raise for what they cannot export.
    """
    try:
        torch: Any = import_module("torch")
        fx: Any = import_module("torch_mlir.fx")
    except ImportError as e:
        raise ImportError(
            "from_torch needs PyTorch and torch-mlir: pip install 'flashlower[torch,torch-mlir]' (torch-mlir has "
            "wheels for some versions of Python only)"
        ) from e
    module: Any = module_or_function
    if not isinstance(module, torch.nn.Module):

        class Function(torch.nn.Module):  # pyright: ignore[reportUntypedBaseClass]
            """torch.export takes modules only."""

            def forward(self, *inputs: Any) -> Any:
                return module_or_function(*inputs)

        module = Function()
    with torch.no_grad():
        exported: Any = fx.export_and_import(module, *args, output_type="stablehlo", func_name="main")
    return parse_module(exported.operation.get_asm(print_generic_op_form=True), name="<torch>")
