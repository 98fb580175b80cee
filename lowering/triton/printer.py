"""
A module of `tl.jit` and `func.func` ops as one Python file that stands alone.

The file imports triton, and torch only where it allocates and no other allocator is given; it never imports
flashlower. The same module gives the same text.
"""

from __future__ import annotations

from collections.abc import Container

from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from flashlower.dialects import tl
from flashlower.lowering.triton.kernel_printer import print_kernel
from flashlower.lowering.triton.launcher_printer import print_function, printable_functions
from flashlower.lowering.triton.names import checked_symbol, one_line
from flashlower.lowering.triton.ptx import Unpacking

_CHECK = '''\
def _check(tensor, name, dtype, shape):
    """Raise TypeError or ValueError when a tensor is not of this dtype and shape (None is any size)."""
    found = str(getattr(tensor, "dtype", type(tensor).__name__)).removeprefix("torch.")
    if found != dtype:
        raise TypeError(f"{name} has dtype {found}, but {dtype} is expected")
    sizes = tuple(tensor.shape)
    if sizes == shape:
        return
    if len(sizes) != len(shape) or any(n is not None and n != m for n, m in zip(shape, sizes)):
        raise ValueError(f"{name} has shape {sizes}, but {shape} is expected (None is any size)")'''

_TORCH_EMPTY = '''\
def _torch_empty(device):
    """An allocator of torch tensors."""
    import torch

    return lambda shape, dtype: torch.empty(shape, dtype=getattr(torch, dtype), device=device)'''

_PDL = '''\
def _pdl():
    """Options of a launch that may start while the kernel before it ends: on GPUs that can."""
    return {"launch_pdl": True} if tl.target_info.cuda_capability_geq(9, 0) else {}'''

_ABOUT_TENSORS = """\
Tensors are anything with .shape, .dtype, .stride(dim), .device and .data_ptr(), such as torch's on a GPU.
`empty(shape, dtype)` allocates; without it torch does, on the device of the first tensor.
Results are written to tensors that are given by their names, such as `out=`, or else allocated.
"""


def print_module(module: ModuleOp) -> str:
    """
    The file of a module, ending in a line break.

    Functions that contain other ops than those of `launch`, `arith` on index and calls of functions that can
    be printed are left out, and named in a comment. Raises DiagnosticException for an invalid module and for
    symbols that cannot name Python functions.
    """
    try:
        module.verify()
    except VerifyException as error:
        raise DiagnosticException(f"only a valid module can be printed: {error}") from error
    kernels = [op for op in module.body.ops if isinstance(op, tl.JitOp)]
    functions = [op for op in module.body.ops if isinstance(op, func.FuncOp)]
    verdicts = printable_functions(functions)
    printed = [function for function, reason in verdicts.items() if reason is None]
    unpackings = {
        (found := Unpacking.of(op)).name: found
        for kernel in kernels
        for op in kernel.walk()
        if isinstance(op, tl.InlineAsmElementwiseOp)
    }
    symbols = [*unpackings, *_symbols([*kernels, *printed], unpackings)]
    parts = [_header([function.sym_name.data for function in printed], bool(kernels or printed))]
    if kernels or printed:
        parts.append("import triton\nimport triton.language as tl")
    bodies = [unpacking.function() for unpacking in unpackings.values()]
    bodies += [print_kernel(kernel, symbols) for kernel in kernels]
    bodies += [print_function(function, symbols) for function in printed]
    helpers = [
        helper
        for helper, used in ((_CHECK, "_check("), (_TORCH_EMPTY, "_torch_empty("), (_PDL, "_pdl("))
        if any(used in body for body in bodies)
    ]
    left_out = [
        f"# {one_line(function.sym_name.data)} is not printed: {reason}."
        for function, reason in verdicts.items()
        if reason is not None
    ]
    left_out += [
        f"# {one_line(op.name)} is not printed: it is no kernel and no function."
        for op in module.body.ops
        if not isinstance(op, tl.JitOp | func.FuncOp)
    ]
    if left_out:
        parts.append("\n".join(left_out))
    top = "\n\n".join(parts)
    return "\n\n\n".join([top, *helpers, *bodies]) + "\n"


def _header(functions: list[str], has_code: bool) -> str:
    if not has_code:
        return '"""A module without Triton kernels or launch functions: there is nothing to run here."""'
    calls = f"Functions to call: {', '.join(functions)}.\n{_ABOUT_TENSORS}" if functions else ""
    return f'"""\nTriton kernels, printed by flashlower; this file stands alone.\n{calls}"""'


def _symbols(ops: list[Operation], taken: Container[str]) -> list[str]:
    """The checked names of kernels and functions; raises DiagnosticException when two are the same, or one is taken."""
    names: list[str] = []
    for op in ops:
        assert isinstance(op, tl.JitOp | func.FuncOp)
        name = checked_symbol(op.sym_name.data)
        if name in names or name in taken:
            raise DiagnosticException(f"two kernels or functions are called {name!r}: rename one")
        names.append(name)
    return names
