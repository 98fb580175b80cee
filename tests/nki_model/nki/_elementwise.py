"""Elementwise instructions of the Vector and GpSimd engines."""

from typing import Any

import numpy as np
from nki import _enums
from nki._dtypes import NUMPY
from nki._enums import check_engine
from nki._operands import begin, in_psum, integer, not_both_psum, not_psum, overlap, same_size, scalar
from nki._ops import Op, alu, apply
from nki._rules import fail
from nki._target import nc_version, target
from nki._tensor import NkiTensor

_E = _enums.engine
_ANY = (_E.vector, _E.scalar, _E.gpsimd)


def tensor_copy(dst: NkiTensor, src: NkiTensor, engine: Any = _E.unknown, name: str | None = None) -> None:
    """dst = src; bit by bit if the dtypes are the same, else through float32."""
    begin("tensor_copy", dst, src)
    check_engine(engine, _ANY, "tensor_copy")
    if engine is _E.scalar and target().version < nc_version.gen3:
        fail("engine", "tensor_copy on the Scalar engine of trn1 (use activation with nl.copy)")
    not_psum(engine, "tensor_copy", dst, src)
    same_size("tensor_copy", dst, src)
    dst.write(src.read("tensor_copy"), "tensor_copy")


def memset(dst: NkiTensor, value: Any, engine: Any = _E.unknown, name: str | None = None) -> None:
    """Every element of dst = value, a number of dst's kind."""
    begin("memset", dst)
    check_engine(engine, (_E.vector, _E.gpsimd), "memset")
    not_psum(engine, "memset", dst)
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (whole or (isinstance(value, (float, np.floating)) and not integer(dst))):
        fail("memset-value", f"{value!r} for {dst.dtype}")
    if integer(dst) and not np.iinfo(NUMPY[dst.dtype]).min <= value <= np.iinfo(NUMPY[dst.dtype]).max:
        fail("memset-value", f"{value!r} is not a value of {dst.dtype}")
    kind = NUMPY[dst.dtype] if integer(dst) else np.float32
    dst.write(np.full(dst.shape, value, kind), "memset")


def reciprocal(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> None:
    """dst = 1 / data on the Vector engine, which has no input range."""
    begin("reciprocal", dst, data)
    same_size("reciprocal", dst, data)
    with np.errstate(all="ignore"):
        dst.write(np.float32(1) / data.read_float("reciprocal"), "reciprocal")


def _check_bitvec(op: Op, what: str, *tensors: Any) -> None:
    for tensor in tensors:
        if isinstance(tensor, NkiTensor) and not integer(tensor):
            fail("alu-op", f"{op} in {what} on a tile of {tensor.dtype}")


def tensor_tensor(
    dst: NkiTensor, data1: NkiTensor, data2: NkiTensor, op: Any, engine: Any = _E.unknown, name: str | None = None
) -> None:
    """dst = data1 op data2, element by element, without broadcasting."""
    begin("tensor_tensor", dst, data1, data2)
    found = alu(op, "tensor_tensor")
    check_engine(engine, (_E.vector, _E.gpsimd), "tensor_tensor")
    if found.alu is None and found.bitvec is None:
        fail("alu-op", f"{op} is not a binary operator")
    operands = (dst, data1, data2)
    psum = any(in_psum(operand) for operand in operands)
    words = all(operand.dtype in ("int32", "uint32") for operand in operands)
    if engine is _E.unknown:
        engine = _E.gpsimd if found.__name__ == "power" or (words and not psum) else _E.vector
    if found.__name__ == "power" and engine is not _E.gpsimd:
        fail("engine", "power runs on the GpSimd engine")
    not_psum(engine, "tensor_tensor", *operands)
    not_both_psum(data1, data2, "tensor_tensor")
    same_size("tensor_tensor", dst, data1, data2)
    if found.bitvec is not None:
        _check_bitvec(found, "tensor_tensor", *operands)
    if found.bitvec is not None or (words and engine is _E.gpsimd):
        exact = [operand.read("tensor_tensor").astype(np.int64) for operand in (data1, data2)]
        left, right = (values.reshape(dst.shape[0], -1) for values in exact)
        result = apply(found, left, right)
        dst.write(result.astype(np.int64).astype(NUMPY[dst.dtype]), "tensor_tensor")
        return
    dst.write(apply(found, data1.read_float("tensor_tensor"), data2.read_float("tensor_tensor")), "tensor_tensor")


def tensor_scalar(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    reverse0: bool = False,
    op1: Any = None,
    operand1: Any = None,
    reverse1: bool = False,
    engine: Any = _E.unknown,
    name: str | None = None,
) -> None:
    """dst = (data op0 operand0) op1 operand1; the operands are numbers or float32 [P, 1]."""
    begin("tensor_scalar", dst, data)
    first = alu(op0, "tensor_scalar")
    second = None if op1 is None else alu(op1, "tensor_scalar")
    check_engine(engine, _ANY, "tensor_scalar")
    not_psum(engine, "tensor_scalar", dst, data, operand0, operand1)
    same_size("tensor_scalar", dst, data)
    if (op1 is None) != (operand1 is None) and (second is None or second.unary is None):
        fail("scalar-operand", "op1 and operand1 come together")
    if second is not None and (first.bitvec is None) != (second.bitvec is None):
        fail("alu-op", f"{op0} with {op1}: bitvec and arithmetic operators do not mix")
    if engine is _E.scalar:
        pair = (first.__name__, None if second is None else second.__name__)
        if pair not in (("multiply", "add"), ("multiply", None), ("add", None)):
            fail("scalar-engine-ops", f"{op0} with {op1} on the Scalar engine")
    if first.bitvec is not None:
        _check_bitvec(first, "tensor_scalar", dst, data, operand0, operand1)
        result: np.ndarray = data.read("tensor_scalar").astype(np.int64).reshape(data.shape[0], -1)
        result = apply(first, result, _bits(operand0, data), reverse0)
        result = result if second is None else apply(second, result, _bits(operand1, data), reverse1)
        dst.write(result.astype(NUMPY[dst.dtype]), "tensor_scalar")
        return
    result = _stage(first, data.read_float("tensor_scalar"), operand0, reverse0, data, dst)
    result = result if second is None else _stage(second, result, operand1, reverse1, data, dst)
    dst.write(result, "tensor_scalar")


def _bits(operand: Any, data: NkiTensor) -> Any:
    if isinstance(operand, NkiTensor):
        if (operand.shape[0], operand.free_size) != (data.shape[0], 1):
            fail("scalar-operand", f"{list(operand.shape)} is not [{data.shape[0]}, 1]")
        return operand.read("tensor_scalar").astype(np.int64).reshape(-1, 1)
    if not isinstance(operand, int):
        fail("scalar-operand", f"{operand!r} for a bitvec operator")
    return np.int64(operand)


def _stage(op: Op, values: np.ndarray, operand: Any, reverse: bool, data: NkiTensor, dst: NkiTensor) -> np.ndarray:
    if op.alu is None:
        if isinstance(operand, NkiTensor) or operand not in (None, 0):
            fail("scalar-operand", f"{op} is unary, its operand is {operand!r}")
        return apply(op, values, None)
    if isinstance(operand, NkiTensor):
        overlap("tensor_scalar", dst, operand)
    return apply(op, values, scalar(operand, data.shape[0], "tensor_scalar", dtypes=("float32",)), reverse)


def scalar_tensor_tensor(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    op1: Any,
    operand1: NkiTensor,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> None:
    """dst = (data op0 operand0) op1 operand1: operand0 a number or [P, 1], operand1 a tile as large as data."""
    begin("scalar_tensor_tensor", dst, data, operand1)
    first, second = alu(op0, "scalar_tensor_tensor"), alu(op1, "scalar_tensor_tensor")
    if first.alu is None or second.alu is None:
        fail("alu-op", f"{op0} and {op1}: scalar_tensor_tensor takes binary arithmetic operators")
    not_both_psum(data, operand1, "scalar_tensor_tensor")
    same_size("scalar_tensor_tensor", dst, data, operand1)
    left = data.read_float("scalar_tensor_tensor")
    left = apply(first, left, scalar(operand0, data.shape[0], "scalar_tensor_tensor"), reverse0)
    dst.write(apply(second, left, operand1.read_float("scalar_tensor_tensor"), reverse1), "scalar_tensor_tensor")


def tensor_copy_predicated(
    dst: NkiTensor, src: Any, predicate: NkiTensor, reverse_pred: bool = False, name: str | None = None
) -> None:
    """dst = src where the predicate is not 0; elsewhere dst stays, so it must be initialised there."""
    begin("tensor_copy_predicated", dst, predicate)
    if predicate.dtype not in ("uint8", "uint16", "uint32"):
        fail("predicate", f"a predicate of {predicate.dtype}")
    if in_psum(src) and in_psum(predicate):
        fail("select-memory", "src and predicate both in PSUM")
    same_size("tensor_copy_predicated", dst, predicate)
    chosen = (predicate.read("tensor_copy_predicated").reshape(dst.shape) != 0) != reverse_pred
    if isinstance(src, NkiTensor):
        begin("tensor_copy_predicated", src)
        if src.dtype != dst.dtype:
            fail("same-dtype", f"tensor_copy_predicated from {src.dtype} to {dst.dtype}")
        same_size("tensor_copy_predicated", dst, src)
        values: Any = src.read("tensor_copy_predicated").reshape(dst.shape)
    else:
        values = np.float32(scalar(src, dst.shape[0], "tensor_copy_predicated")).astype(NUMPY[dst.dtype])
    place = dst._bytes()
    kept = ~dst.storage.written(*place) & ~chosen
    if kept.any():
        fail("uninitialised", f"tensor_copy_predicated leaves elements of {dst} that nothing has written")
    old = dst.storage.values(dst.place[0], dst.shape, dst.place[1], dst.dtype)
    dst.write(np.where(chosen, values, old), "tensor_copy_predicated")
