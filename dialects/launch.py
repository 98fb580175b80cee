"""
The `launch` dialect: the host side of a file of kernels, inside a `func.func` on builtin tensors.

It reads sizes and strides, allocates, checks and launches; integer arithmetic between these is `arith` on
`index`. Nothing here computes on elements.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    I64,
    IndexType,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
    i64,
)
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import (
    EffectInstance,
    MemoryEffect,
    MemoryEffectKind,
    MemoryWriteEffect,
    Pure,
    SymbolTable,
    SymbolUserOpInterface,
)
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.tl import JitOp, PtrType
from flashlower.dialects.tl.types import is_float, is_integer


class _DimensionOp(IRDLOperation):
    tensor = operand_def(TensorType)
    dim = prop_def(IntegerAttr[I64])
    result = result_def(IndexType())

    traits = traits_def(Pure())

    assembly_format = "$tensor `,` $dim attr-dict `:` type($tensor)"

    def __init__(self, tensor: SSAValue | Operation, dim: int):
        super().__init__(operands=[tensor], properties={"dim": IntegerAttr(dim, i64)}, result_types=[IndexType()])

    def verify_(self) -> None:
        rank = len(_tensor_type(self.tensor).get_shape())
        if not 0 <= self.dim.value.data < rank:
            raise VerifyException(f"{self.tensor.type} has no dimension {self.dim.value.data}")


def _tensor_type(value: SSAValue) -> TensorType:
    assert isa(value.type, TensorType)
    return value.type


@irdl_op_definition
class SizeOp(_DimensionOp):
    """The size of one dimension of a tensor, in elements."""

    name = "launch.size"


@irdl_op_definition
class StrideOp(_DimensionOp):
    """The distance between neighbours along one dimension of a tensor, in elements; may be 0 or negative."""

    name = "launch.stride"


class _Allocates(MemoryEffect):
    """An allocation of the op's own result: two buffers are never one, an unused one is dead."""

    @classmethod
    def get_effects(cls, op: Operation) -> set[EffectInstance]:
        return {EffectInstance(MemoryEffectKind.ALLOC, op.results[0])}


@irdl_op_definition
class EmptyOp(IRDLOperation):
    """A new contiguous buffer with unknown contents; one operand per dynamic dimension, in order."""

    name = "launch.empty"

    sizes = var_operand_def(IndexType())
    result = result_def(TensorType)

    traits = traits_def(_Allocates())

    assembly_format = "`(` $sizes `)` attr-dict `:` type($result)"

    def __init__(self, sizes: Sequence[SSAValue], type: TensorType):
        super().__init__(operands=[sizes], result_types=[type])

    def verify_(self) -> None:
        dynamic = _tensor_type(self.result).get_shape().count(DYNAMIC_INDEX)
        if dynamic != len(self.sizes):
            raise VerifyException(f"{self.result.type} needs {dynamic} sizes, got {len(self.sizes)}")


@irdl_op_definition
class RequireOp(IRDLOperation):
    """The emitted function raises ValueError, with `message` and both numbers, when these differ."""

    name = "launch.require"

    lhs = operand_def(IndexType())
    rhs = operand_def(IndexType())
    message = prop_def(StringAttr)

    # It may raise, which is an effect that must stay.
    traits = traits_def(MemoryWriteEffect())

    assembly_format = "$lhs `,` $rhs `,` $message attr-dict"

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation, message: str):
        super().__init__(operands=[lhs, rhs], properties={"message": StringAttr(message)})


class _KernelSymbolUse(SymbolUserOpInterface):
    def verify(self, op: Operation) -> None:
        assert isinstance(op, KernelOp)
        kernel = SymbolTable.lookup_symbol(op, op.kernel)
        if not isinstance(kernel, JitOp):
            raise VerifyException(f"{op.kernel} is not a tl.jit of this module")
        parameters = kernel.body.block.args
        if len(parameters) != len(op.arguments):
            raise VerifyException(f"{op.kernel} has {len(parameters)} parameters, got {len(op.arguments)} arguments")
        for position, (argument, parameter) in enumerate(zip(op.arguments, parameters, strict=True)):
            if not _fits(argument.type, parameter.type):
                raise VerifyException(f"argument {position} of {op.kernel} is a {parameter.type}, got {argument.type}")


def _fits(argument: Attribute, parameter: Attribute) -> bool:
    if isa(argument, TensorType):
        return isinstance(parameter, PtrType) and parameter.pointee == argument.element_type
    if isinstance(argument, IndexType):
        return is_integer(parameter)
    return argument == parameter and (is_integer(argument) or is_float(argument))


@irdl_op_definition
class KernelOp(IRDLOperation):
    """
    Launch a `tl.jit` on a grid of one to three dimensions: `kernel[(x, y, z)](arguments)`.

    A tensor is passed as the pointer to its first element, an `index` as an integer. With `pdl` the kernel may start
    while the one before it ends, on GPUs that can (programmatic dependent launch); it says itself what it waits for.
    """

    name = "launch.kernel"

    kernel = prop_def(SymbolRefAttr)
    grid = var_operand_def(IndexType())
    arguments = var_operand_def()
    num_warps = opt_prop_def(IntegerAttr[I64])
    num_stages = opt_prop_def(IntegerAttr[I64])
    pdl = opt_prop_def(UnitAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    traits = traits_def(MemoryWriteEffect(), _KernelSymbolUse())

    assembly_format = "$kernel `[` $grid `]` `(` $arguments `)` attr-dict `:` `(` type($arguments) `)`"

    def __init__(
        self,
        kernel: str,
        grid: Sequence[SSAValue],
        arguments: Sequence[SSAValue],
        *,
        num_warps: int | None = None,
        num_stages: int | None = None,
        pdl: bool = False,
    ):
        super().__init__(
            operands=[grid, arguments],
            properties={
                "kernel": SymbolRefAttr(kernel),
                "num_warps": None if num_warps is None else IntegerAttr(num_warps, i64),
                "num_stages": None if num_stages is None else IntegerAttr(num_stages, i64),
                "pdl": UnitAttr() if pdl else None,
            },
        )

    def verify_(self) -> None:
        if not 1 <= len(self.grid) <= 3:
            raise VerifyException(f"a grid has one to three dimensions, got {len(self.grid)}")
        if (warps := self.num_warps) is not None:
            count = warps.value.data
            if not 1 <= count <= 32 or count & (count - 1):
                raise VerifyException(f"num_warps is a power of two up to 32, got {count}")
        if self.num_stages is not None and self.num_stages.value.data < 1:
            raise VerifyException(f"num_stages is at least 1, got {self.num_stages.value.data}")


Launch = Dialect("launch", [EmptyOp, KernelOp, RequireOp, SizeOp, StrideOp], [])
