"""Reductions and scans of the Vector engine."""

from typing import Any

import numpy as np
from nki._enums import member, reduce_cmd
from nki._machine import core
from nki._operands import begin, integer, not_both_psum, same_size, scalar
from nki._ops import Op, alu, apply
from nki._rules import fail
from nki._tensor import NkiTensor

_C = reduce_cmd


def _reduction(op: Any, what: str) -> Op:
    found = alu(op, what)
    if found.reduce is None:
        fail("reduce-op", f"{op} is not a legal reduction in {what}")
    return found


def tensor_reduce(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    axis: Any,
    negate: bool = False,
    keepdims: bool = False,
    name: str | None = None,
) -> None:
    """dst = op over the last free dimensions of data, negated if asked."""
    begin("tensor_reduce", dst, data)
    found = _reduction(op, "tensor_reduce")
    axes = sorted([axis] if isinstance(axis, int) else list(axis))
    if not axes or axes != list(range(data.ndim - len(axes), data.ndim)) or axes[0] == 0:
        fail("reduce-axis", f"axis {axis} of {list(data.shape)}; it must be the last free dimensions")
    kept = data.shape[: axes[0]]
    wanted = (*kept, *(1 for _ in axes)) if keepdims else kept
    if dst.size != data.size // int(np.prod(data.shape[axes[0] :])) or dst.shape[0] != data.shape[0]:
        fail("operand-shape", f"tensor_reduce of {list(data.shape)} over {axes} is {list(wanted)}, not {dst.shape}")
    if found.bitvec is not None:
        if not (integer(dst) and integer(data)) or negate:
            fail("alu-op", f"{op} reduces integers, without negation")
        values = data.read("tensor_reduce")
    else:
        values = data.read_float("tensor_reduce")
    values = values.reshape(*kept, -1)
    assert found.reduce is not None
    result = found.reduce(values)
    dst.write(-result if negate else result, "tensor_reduce")


def update_registers(
    values: np.ndarray, data: NkiTensor, op: Op, cmd: reduce_cmd, result: NkiTensor | None, initial: Any, negate: bool
) -> None:
    """The Vector engine's reduction registers after an instruction that computed `values`."""
    registers = core().vector_registers
    lanes = slice(data.start_partition, data.start_partition + data.shape[0])
    if cmd is _C.idle:
        registers.forget()
        return
    if cmd is _C.reset_reduce:
        registers.values[lanes], registers.valid[lanes] = op.identity, True
    elif cmd is _C.load_reduce:
        registers.values[lanes] = np.reshape(np.broadcast_to(initial, (data.shape[0], 1)), -1)
        registers.valid[lanes] = True
    if not registers.valid[lanes].all():
        fail("reduce-registers", "a reduction adds to registers that nothing has reset")
    assert op.reduce is not None and op.alu is not None
    registers.values[lanes] = op.alu(registers.values[lanes], op.reduce(values))
    if result is not None:
        begin("reduce_res", result)
        if (result.shape[0], result.free_size) != (data.shape[0], 1):
            fail("operand-shape", f"reduce_res is {list(result.shape)}, not [{data.shape[0]}, 1]")
        result.write(-registers.values[lanes] if negate else registers.values[lanes], "reduce_res")


def tensor_scalar_reduce(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    reduce_op: Any,
    reduce_res: NkiTensor | None = None,
    reverse0: bool = False,
    reduce_cmd: reduce_cmd = _C.reset_reduce,
    reduce_init: Any = None,
    reduce_res_negate: bool = False,
    name: str | None = None,
) -> None:
    """dst = data op0 operand0, and reduce_res its reduction over the free dimensions."""
    begin("tensor_scalar_reduce", dst, data)
    member(reduce_cmd, _C, "reduce_cmd of tensor_scalar_reduce")
    found, reduction = alu(op0, "tensor_scalar_reduce"), _reduction(reduce_op, "tensor_scalar_reduce")
    if found.bitvec is not None or reverse0:
        fail("alu-op", f"{op0}: tensor_scalar_reduce takes arithmetic operators, not reversed")
    if reduction.__name__ not in ("add", "multiply", "maximum", "minimum"):
        fail("reduce-op", f"{reduce_op} in tensor_scalar_reduce")
    if reduce_cmd not in (_C.reset_reduce, _C.reduce, _C.load_reduce):
        fail("reduce-op", f"{reduce_cmd} in tensor_scalar_reduce")
    if (reduce_init is not None) != (reduce_cmd is _C.load_reduce):
        fail("reduce-op", "reduce_init goes with load_reduce")
    same_size("tensor_scalar_reduce", dst, data)
    partitions = data.shape[0]
    values = data.read_float("tensor_scalar_reduce")
    operand = None if found.alu is None else scalar(operand0, partitions, "operand0", dtypes=("float32",))
    values = apply(found, values, operand)
    initial = None if reduce_init is None else scalar(reduce_init, partitions, "reduce_init", dtypes=("float32",))
    dst.write(values, "tensor_scalar_reduce")
    update_registers(values, data, reduction, reduce_cmd, reduce_res, initial, reduce_res_negate)


def tensor_tensor_scan(
    dst: NkiTensor,
    data0: NkiTensor,
    data1: NkiTensor,
    initial: Any,
    op0: Any,
    op1: Any,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> None:
    """result[i] = (data0[i] op0 result[i - 1]) op1 data1[i] along the free dimensions, result[-1] = initial."""
    begin("tensor_tensor_scan", dst, data0, data1)
    first, second = alu(op0, "tensor_tensor_scan"), alu(op1, "tensor_tensor_scan")
    if first.alu is None or second.alu is None:
        fail("alu-op", f"{op0} and {op1}: tensor_tensor_scan takes binary arithmetic operators")
    not_both_psum(data0, data1, "tensor_tensor_scan")
    same_size("tensor_tensor_scan", dst, data0, data1)
    left, right = data0.read_float("tensor_tensor_scan"), data1.read_float("tensor_tensor_scan")
    state = np.reshape(np.broadcast_to(scalar(initial, dst.shape[0], "initial"), (dst.shape[0], 1)), -1)
    result = np.empty_like(left)
    for i in range(left.shape[1]):
        state = apply(second, apply(first, left[:, i], state, reverse0), right[:, i], reverse1)
        result[:, i] = state
    dst.write(result, "tensor_tensor_scan")
