"""Runs StableHLO modules on JAX's CPU client, the reference implementation of what we print."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr
from xdsl.dialects.func import CallOp
from xdsl.printer import Printer

from flashlower.interpreters import find_function


def run_module_on_jax(module: ModuleOp, args: Sequence[Any], function: str | None = None) -> list[np.ndarray[Any, Any]]:
    """The results of a function of a module of StableHLO: by default `main`, or else the only public one."""
    module = module.clone()
    # JAX's client runs the function main.
    entry = find_function(module, function)
    for op in module.walk():
        if isinstance(op, CallOp) and op.callee.string_value() == entry.sym_name.data:
            op.callee = SymbolRefAttr("main")
    entry.sym_name = StringAttr("main")
    entry.sym_visibility = None
    printed = StringIO()
    Printer(printed, print_generic_format=True).print_op(module)
    return run_on_jax(printed.getvalue(), args)


def run_on_jax(text: str, args: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """The results of a module's `main`, given as text in generic or pretty form. Needs the extra `jax`."""
    # JAX has no public way to run a module that it did not trace.
    import jax
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jax._src.lib import xla_client
    from jax._src.lib.mlir import ir

    device = jax.devices("cpu")[0]
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        # JAX asks for the module's name, which other front ends do not give.
        module.operation.attributes["sym_name"] = ir.StringAttr.get("module")
        options = xla_client.CompileOptions()
        # Every module is run once.
        options.executable_build_options.debug_options.xla_backend_optimization_level = 0
        options.executable_build_options.debug_options.xla_llvm_disable_expensive_passes = True
        executable = compiler.backend_compile_and_load(
            device.client, module, xla_client.DeviceList((device,)), options, []
        )
    with jax.enable_x64(True):
        arrays = [jax.device_put(np.asarray(a), device) for a in args]
        return [np.asarray(r) for r in executable.execute(arrays)]
