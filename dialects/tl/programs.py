"""Which program of the grid a kernel runs as, and how many there are."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    I64,
    IntegerAttr,
    i32,
    i64,
)
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException


class _GridOp(IRDLOperation):
    axis = prop_def(IntegerAttr[I64])
    result = result_def(i32)

    traits = traits_def(Pure())

    assembly_format = "$axis attr-dict"

    def __init__(self, axis: int):
        super().__init__(properties={"axis": IntegerAttr(axis, i64)}, result_types=[i32])

    def verify_(self) -> None:
        if not 0 <= self.axis.value.data < 3:
            raise VerifyException(f"a grid has axes 0, 1 and 2, got {self.axis.value.data}")


@irdl_op_definition
class ProgramIdOp(_GridOp):
    """`tl.program_id(axis)`: which program of the grid this is; i32."""

    name = "tl.program_id"


@irdl_op_definition
class NumProgramsOp(_GridOp):
    """`tl.num_programs(axis)`: the size of the grid; i32."""

    name = "tl.num_programs"
