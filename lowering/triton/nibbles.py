"""
4-bit codes that a module has one an element: `tensor<..xi4>`, as JAX's `jnp.int4` arrays are.

No pointer goes to 4 bits. What a caller has of such a tensor is an array of bytes, one for each element (`ml_dtypes`),
so kernels take bytes: the type of the argument becomes i8, and that of the codes i8 or u8, which changes no value.
"""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import FunctionType, IntegerType, ModuleOp, Signedness, TensorType, i8
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.ir import BlockArgument, SSAValue
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.quantization import QuantizationAttr
from flashlower.lowering.triton.host import TensorOf


def take_bytes(module: ModuleOp) -> None:
    """
    Makes i8 arguments of those i4 and ui4 arguments that are K and V of attention.

    Raises `DiagnosticException` for K and V of such a type that are no arguments, or that something else reads.
    """
    called = {op.callee.string_value() for op in module.walk() if isinstance(op, CallOp)}
    for op in list(module.walk()):
        if isinstance(op, AttentionOp):
            for name in ("key", "value"):
                if _has_nibbles(value := getattr(op, name)):
                    _take_bytes(op, name[0], value, called)


def _has_nibbles(value: SSAValue) -> bool:
    element = cast(TensorOf, value.type).element_type
    return isa(element, IntegerType) and element.width.data == 4


def _take_bytes(op: AttentionOp, name: str, value: SSAValue, called: set[str]) -> None:
    function = value.owner.parent_op() if isinstance(value, BlockArgument) else None
    users = [use.operation for use in value.uses]
    attention = [user for user in users if isinstance(user, AttentionOp)]
    if not isinstance(function, FuncOp) or function.sym_name.data in called or len(attention) < len(users):
        raise DiagnosticException(
            f"{name} of {op.name} has type {value.type}, and there are no pointers to 4 bits: let it be an argument of "
            f"the outermost function that only attention reads, or put two codes into an i8"
        )
    type = cast(TensorOf, value.type)
    unsigned = cast(IntegerType, type.element_type).signedness.data == Signedness.UNSIGNED
    for user in attention:
        for side in ("key", "value"):
            attr = user.properties.get(f"{side}_quantization")
            if getattr(user, side) is not value or not isinstance(attr, QuantizationAttr):
                continue
            if attr.is_signed == unsigned:
                raise DiagnosticException(
                    f"{name} of {op.name} has type {value.type}, but {attr.code_name} codes: an array of bytes has the "
                    "sign of its type"
                )
            codes = "u8" if unsigned else "i8"
            user.properties[f"{side}_quantization"] = QuantizationAttr(codes, attr.zero.data, attr.rounded_to)
    Rewriter.replace_value_with_new_type(value, TensorType(i8, type.shape, type.encoding))
    inputs = [argument.type for argument in function.args]
    function.function_type = FunctionType.from_lists(inputs, [*function.function_type.outputs])
