"""
The `tl` dialect: one op for each function or operator of `triton.language` that flashlower uses.

A module of `tl.jit` ops is a file of Triton kernels; `-t triton` prints it. The ops follow Triton's semantics
(https://triton-lang.org/main/python-api/triton.language.html) except that nothing is converted silently.
"""

from xdsl.dialect_interfaces.constant_materialization import ConstantMaterializationInterface
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Attribute, Dialect, Operation
from xdsl.utils.hints import isa

from flashlower.dialects.tl.binary import (
    AddOp,
    AndOp,
    CdivOp,
    DivRnOp,
    EqOp,
    FloorDivOp,
    GeOp,
    GtOp,
    LeOp,
    LtOp,
    MaximumOp,
    MinimumOp,
    ModOp,
    MulOp,
    NeOp,
    OrOp,
    ShlOp,
    ShrOp,
    SubOp,
    TrueDivOp,
    XorOp,
)
from flashlower.dialects.tl.blocks import ArangeOp, BroadcastToOp, ExpandDimsOp, FullOp, ReshapeOp, TransOp, ZerosOp
from flashlower.dialects.tl.casts import BitcastOp, CastOp
from flashlower.dialects.tl.constants import ConstantOp, ConstexprOp
from flashlower.dialects.tl.control import IfOp, JitOp, RangeOp, ReturnOp, YieldOp
from flashlower.dialects.tl.inline_asm import InlineAsmElementwiseOp, UnpackAttr
from flashlower.dialects.tl.memory import LoadOp, StoreOp
from flashlower.dialects.tl.programs import NumProgramsOp, ProgramIdOp
from flashlower.dialects.tl.reductions import CumsumOp, DotOp, MaxOp, SumOp
from flashlower.dialects.tl.sync import AtomicAddOp, DebugBarrierOp, GdcLaunchDependentsOp, GdcWaitOp
from flashlower.dialects.tl.ternary import FmaOp, WhereOp
from flashlower.dialects.tl.types import PtrType
from flashlower.dialects.tl.unary import (
    AbsOp,
    CeilOp,
    CosOp,
    Exp2Op,
    ExpOp,
    FloorOp,
    InvertOp,
    Log2Op,
    LogOp,
    NegOp,
    RsqrtOp,
    SinOp,
    SqrtOp,
)


class _MaterializeConstant(ConstantMaterializationInterface):
    def materialize_constant(self, value: Attribute, type: Attribute) -> Operation | None:
        return ConstantOp(value) if isa(value, IntegerAttr) or isa(value, FloatAttr) else None


TL = Dialect(
    "tl",
    [
        AbsOp,
        AddOp,
        AndOp,
        ArangeOp,
        AtomicAddOp,
        BitcastOp,
        BroadcastToOp,
        CastOp,
        CdivOp,
        CeilOp,
        ConstantOp,
        ConstexprOp,
        CosOp,
        CumsumOp,
        DebugBarrierOp,
        DivRnOp,
        DotOp,
        EqOp,
        Exp2Op,
        ExpOp,
        ExpandDimsOp,
        FloorDivOp,
        FloorOp,
        FmaOp,
        FullOp,
        GdcLaunchDependentsOp,
        GdcWaitOp,
        GeOp,
        GtOp,
        IfOp,
        InlineAsmElementwiseOp,
        InvertOp,
        JitOp,
        LeOp,
        LoadOp,
        Log2Op,
        LogOp,
        LtOp,
        MaxOp,
        MaximumOp,
        MinimumOp,
        ModOp,
        MulOp,
        NeOp,
        NegOp,
        NumProgramsOp,
        OrOp,
        ProgramIdOp,
        RangeOp,
        ReshapeOp,
        ReturnOp,
        RsqrtOp,
        ShlOp,
        ShrOp,
        SinOp,
        SqrtOp,
        StoreOp,
        SubOp,
        SumOp,
        TransOp,
        TrueDivOp,
        WhereOp,
        XorOp,
        YieldOp,
        ZerosOp,
    ],
    [PtrType, UnpackAttr],
    [_MaterializeConstant()],
)
