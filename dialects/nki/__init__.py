"""
The `nki` dialect: one op for each function of `nki.isa` and `nki.language` that flashlower uses (NKI 0.6.0).

A module of `nki.kernel` ops is a file of NKI kernels; `-t nki` prints it. Tiles are storage: an instruction writes its
first operand. The verifiers hold the rules of the documentation (partitions, PSUM banks, operand sizes, types, which
memory each engine reaches, what a generation of the hardware has), so that an illegal kernel is rejected as IR.
"""

from xdsl.ir import Dialect

from flashlower.dialects.nki.elementwise import (
    ActivationOp,
    ReciprocalOp,
    ScalarTensorTensorOp,
    TensorReduceOp,
    TensorScalarOp,
    TensorTensorOp,
)
from flashlower.dialects.nki.kernel import CallOp, ForOp, KernelOp, NdarrayOp, ProgramIdOp, ReturnOp
from flashlower.dialects.nki.movement import (
    CoreBarrierOp,
    DmaCopyOp,
    DmaTransposeOp,
    MemsetOp,
    TensorCopyOp,
    TensorCopyPredicatedOp,
)
from flashlower.dialects.nki.select import AffineSelectOp, IotaOp, RangeSelectOp, SelectReduceOp
from flashlower.dialects.nki.tensor_engine import NcMatmulOp, NcTransposeOp
from flashlower.dialects.nki.types import TileType
from flashlower.dialects.nki.views import ApOp, ReshapeOp, SliceOp

NKI = Dialect(
    "nki",
    [
        ActivationOp,
        AffineSelectOp,
        ApOp,
        CallOp,
        CoreBarrierOp,
        DmaCopyOp,
        DmaTransposeOp,
        ForOp,
        IotaOp,
        KernelOp,
        MemsetOp,
        NcMatmulOp,
        NcTransposeOp,
        NdarrayOp,
        ProgramIdOp,
        RangeSelectOp,
        ReciprocalOp,
        ReshapeOp,
        ReturnOp,
        ScalarTensorTensorOp,
        SelectReduceOp,
        SliceOp,
        TensorCopyOp,
        TensorCopyPredicatedOp,
        TensorReduceOp,
        TensorScalarOp,
        TensorTensorOp,
    ],
    [TileType],
)
