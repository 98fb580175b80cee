"""Compiling kernels ahead of time, for GPUs that need not be there."""

# Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute

from flashlower.dialects import launch, tl
from flashlower.dialects.tl.types import PtrType
from flashlower.lowering.triton.loading import load_source, require_triton
from flashlower.lowering.triton.names import triton_dtype
from flashlower.lowering.triton.printer import print_module

TARGETS = ("cuda:80", "cuda:90", "cuda:100", "hip:gfx942")
"""NVIDIA's A100, H100 and B200, and AMD's MI300."""

_SIGNATURE = {
    "tl.int1": "u1",
    "tl.bfloat16": "bf16",
    "tl.float16": "fp16",
    "tl.float32": "fp32",
    "tl.float64": "fp64",
    "tl.float8e4nv": "fp8e4nv",
    "tl.float8e5": "fp8e5",
    "tl.float8e4b8": "fp8e4b8",
    "tl.float8e5b16": "fp8e5b16",
}


ASSUMED_CONSTANT = 1024
"""A stride, for arguments that are constants of the compiled kernel."""


def signature_type(type: Attribute) -> str:
    """The type of a kernel argument in a Triton signature, such as "*bf16" or "i64"."""
    if isinstance(type, PtrType):
        return f"*{signature_type(type.pointee)}"
    dtype = triton_dtype(type)
    return _SIGNATURE.get(dtype) or dtype.removeprefix("tl.").replace("uint", "u").replace("int", "i")


def gpu_target(name: str) -> Any:
    """Triton's target of a name such as "cuda:90" or "hip:gfx942"; raises ValueError for another form."""
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415 (optional, checked by the caller)

    backend, _, arch = name.partition(":")
    if backend == "cuda" and arch.isdigit():
        return GPUTarget("cuda", int(arch), 32)
    if backend == "hip" and arch.startswith("gfx"):
        return GPUTarget("hip", arch, 64 if arch.startswith("gfx9") else 32)
    raise ValueError(f"a target is like cuda:90 or hip:gfx942, got {name!r}")


def compile_module_kernels(module: ModuleOp, targets: Sequence[str] = TARGETS) -> dict[tuple[str, str], Any]:
    """
    Compile every `tl.jit` of a module for every target; no GPU is needed.

    The result maps (kernel, target) to Triton's CompiledKernel, whose `asm` holds the stages ("ptx",
    "amdgcn", ...). A kernel gets the num_warps and num_stages of its first `launch.kernel`. Integer
    arguments are of the width in the IR, and `ASSUMED_CONSTANT` where a kernel is compiled for their value.
    Raises TritonNotFoundError without Triton, ValueError for an unknown target, and what Triton raises when
    a kernel does not compile.
    """
    require_triton()
    import triton  # noqa: PLC0415 (optional, checked above)
    from triton.compiler import ASTSource  # noqa: PLC0415

    loaded = load_source(print_module(module), interpret=False)
    compiled: dict[tuple[str, str], Any] = {}
    for kernel in module.body.ops:
        if not isinstance(kernel, tl.JitOp):
            continue
        name = kernel.sym_name.data
        function = getattr(loaded, name)
        types = [signature_type(argument.type) for argument in kernel.body.block.args]
        constants = kernel.constexpr_positions()
        for position in constants:
            types[position] = "constexpr"
        signature = dict(zip(function.arg_names, types, strict=True))
        for target in targets:
            constexprs = {(position,): ASSUMED_CONSTANT for position in constants}
            source = ASTSource(fn=function, signature=signature, constexprs=constexprs)
            gpu = gpu_target(target)
            # What a kernel asks of its GPU is not to be answered by the one that is here.
            with patch.object(triton.language.target_info, "current_target", _answer(gpu)):
                compiled[name, target] = triton.compile(source, target=gpu, options=_options(module, name))
    return compiled


def _answer(gpu: Any) -> Callable[[], Any]:
    """A function that a kernel may call while it is compiled, and that gives this."""

    def current_target() -> Any:
        return gpu

    vars(current_target)["__triton_builtin__"] = True
    return current_target


def _options(module: ModuleOp, kernel: str) -> dict[str, int]:
    for op in module.walk():
        if isinstance(op, launch.KernelOp) and op.kernel.string_value() == kernel:
            options = {"num_warps": op.num_warps, "num_stages": op.num_stages}
            return {name: value.value.data for name, value in options.items() if value is not None}
    return {}
