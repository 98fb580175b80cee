"""
A module of `nki.kernel` ops as one Python file that stands alone: it imports nki, never flashlower.

The same module gives the same text.
"""

from __future__ import annotations

import re

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from flashlower.dialects import nki
from flashlower.lowering.nki.kernel_printer import CONSTANTS, RESERVED, print_kernel
from flashlower.lowering.triton.names import checked_symbol, one_line

_HEADER = '''\
"""
NKI kernels (NKI 0.6.0), printed by flashlower; this file stands alone.
Kernels: {names}.
"""'''

_IMPORTS = """\
import nki
import nki.isa as nisa
import nki.language as nl"""


def print_module(module: ModuleOp) -> str:
    """
    The file of a module, ending in a line break; what is no kernel is left out, and named in a comment.

    Raises DiagnosticException for an invalid module and for symbols that cannot name Python functions.
    """
    try:
        module.verify()
    except VerifyException as error:
        raise DiagnosticException(f"only a valid module can be printed: {error}") from error
    kernels = [op for op in module.body.ops if isinstance(op, nki.KernelOp)]
    names: list[str] = []
    for kernel in kernels:
        name = checked_symbol(kernel.sym_name.data)
        if name in names or name in RESERVED:
            raise DiagnosticException(f"the symbol {name!r} is taken in the file: rename it")
        names.append(name)
    left_out = [f"# {_describe(op)}" for op in module.body.ops if not isinstance(op, nki.KernelOp)]
    if not kernels:
        header = '"""A module without NKI kernels: there is nothing to run here."""'
        return "\n\n".join([header, *(["\n".join(left_out)] if left_out else [])]) + "\n"
    bodies = [print_kernel(kernel, names) for kernel in kernels]
    parts = [_HEADER.format(names=", ".join(names)), _IMPORTS]
    constants = [
        f"{name} = {value}" for name, value in CONSTANTS.items() if any(re.search(rf"\b{name}\b", b) for b in bodies)
    ]
    if constants:
        parts.append("\n".join(constants))
    if left_out:
        parts.append("\n".join(left_out))
    return "\n\n\n".join(["\n\n".join(parts), *bodies]) + "\n"


def _describe(op: Operation) -> str:
    symbol = op.properties.get("sym_name")
    name = one_line(str(getattr(symbol, "data", op.name)))
    return f"{name} is not printed: it is no kernel."
