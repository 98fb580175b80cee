"""
A builder of `tl` kernels that infers result types, so that lowering code reads like the kernel it makes.

    b = KernelBuilder("scale_kernel", {"x_ptr": PtrType(f32), "n": i32}, doc="Double n numbers.")
    x_ptr, n = b.args
    block = b.constexpr("BLOCK", 128)
    offs = b.add(b.mul(b.program_id(0), block), b.arange(0, block), name="offs")
    mask = b.lt(offs, n, name="mask")
    x = b.load(b.add(x_ptr, offs), mask=mask, other=0.0, name="x")
    b.store(b.add(x_ptr, offs), b.mul(x, 2.0), mask=mask)
    kernel = b.finish()  # a tl.jit

Where a value is expected a Python number is one too: it becomes a `tl.constant` of the element type of its
partner (the other operand, the loaded type). Every method takes `name=`, the name that is printed; a value
without one is inlined where it is used once. Operands that do not fit raise TypeError.
"""

from __future__ import annotations

from flashlower.lowering.triton.builder.blocks import BlockBuilder
from flashlower.lowering.triton.builder.control import Carried, ControlBuilder, Loop
from flashlower.lowering.triton.builder.core import COMMENT, Number, Operand
from flashlower.lowering.triton.builder.elementwise import ElementwiseBuilder
from flashlower.lowering.triton.builder.memory import MemoryBuilder
from flashlower.lowering.triton.builder.transposed import TransposedBuilder

__all__ = ["COMMENT", "Carried", "KernelBuilder", "Loop", "Number", "Operand", "TransposedKernelBuilder"]


class KernelBuilder(ElementwiseBuilder, BlockBuilder, MemoryBuilder, ControlBuilder):
    """Builds one `tl.jit`; see the module's text for an example."""


class TransposedKernelBuilder(TransposedBuilder, KernelBuilder):
    """A builder that lays blocks of two dimensions out transposed."""
