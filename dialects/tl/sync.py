"""What programs and kernels say to each other: atomics, barriers, and one kernel that starts while another ends."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, result_def, traits_def
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.types import PtrType, element_type, is_float, is_integer, shape_of

ORDERS = ("acquire", "release", "acq_rel", "relaxed")


@irdl_op_definition
class AtomicAddOp(IRDLOperation):
    """
    `tl.atomic_add(ptr, value, sem=order)`: adds to one number in memory and gives what was there before.

    The order is among all programs of the GPU, as in C++: with `acq_rel`, what a program stored before is seen by
    those that add to the same number later.
    """

    name = "tl.atomic_add"

    ptr = operand_def()
    value = operand_def()
    order = prop_def(StringAttr)
    result = result_def()

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$ptr `,` $value $order attr-dict `:` type($ptr) `,` type($value) `->` type($result)"

    def __init__(self, ptr: SSAValue | Operation, value: SSAValue | Operation, order: str):
        value = SSAValue.get(value)
        super().__init__(operands=[ptr, value], properties={"order": StringAttr(order)}, result_types=[value.type])

    def verify_(self) -> None:
        if not isinstance(self.ptr.type, PtrType) or shape_of(self.ptr.type):
            raise VerifyException(f"tl.atomic_add is of one number, through a pointer, got {self.ptr.type}")
        element = element_type(self.ptr.type.pointee)
        if not (is_integer(element) or is_float(element)) or not self.value.type == self.result.type == element:
            raise VerifyException(f"tl.atomic_add to {self.ptr.type} adds and gives {element}, got {self.value.type}")
        if self.order.data not in ORDERS:
            raise VerifyException(f"the order is one of {', '.join(ORDERS)}, got {self.order.data!r}")


class _StatementOp(IRDLOperation):
    """No operands and no results. It counts as a read and a write of memory, so nothing moves across it."""

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__()


@irdl_op_definition
class DebugBarrierOp(_StatementOp):
    """`tl.debug_barrier()`: all threads of a program have come here, and each sees what the others stored."""

    name = "tl.debug_barrier"


@irdl_op_definition
class GdcWaitOp(_StatementOp):
    """
    `tl.extra.cuda.gdc_wait()`, on NVIDIA GPUs of compute capability 9.0 and up, and nothing on others: the kernel
    before has ended, and what it stored is seen. Of use in a launch that may start earlier (programmatic dependent
    launch: PTX ISA, griddepcontrol).
    """

    name = "tl.gdc_wait"


@irdl_op_definition
class GdcLaunchDependentsOp(_StatementOp):
    """
    `tl.extra.cuda.gdc_launch_dependents()`, on NVIDIA GPUs of compute capability 9.0 and up, and nothing on others:
    once every program has come here or has ended, the next kernel may start, if its launch allows that.
    """

    name = "tl.gdc_launch_dependents"
