"""The Scalar engine: activation and its reduction registers."""

from typing import Any

import numpy as np
from nki._enums import member, reduce_cmd
from nki._machine import core
from nki._operands import begin, column, overlap, same_size, scalar
from nki._ops import Op, activate
from nki._rules import fail
from nki._target import at_least, nc_version
from nki._tensor import NkiTensor

_C = reduce_cmd


def activation(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    bias: Any = None,
    scale: Any = 1.0,
    reduce_op: Any = None,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: reduce_cmd = _C.idle,
    name: str | None = None,
) -> None:
    """dst = op(data * scale + bias) in float32; its sum over the free dimensions can go to the reduction registers."""
    begin("activation", dst, data)
    member(reduce_cmd, _C, "reduce_cmd of activation")
    same_size("activation", dst, data)
    partitions = data.shape[0]
    values = data.read_float("activation")
    factor = scalar(scale, partitions, "scale of activation", "activation-scale", ("float32",))
    with np.errstate(all="ignore"):
        values = values * factor
        if bias is not None:
            values = values + _bias(bias, partitions, op)
    values = activate(op, values)
    if isinstance(bias, NkiTensor):
        overlap("activation", dst, bias)
    if isinstance(scale, NkiTensor):
        overlap("activation", dst, scale)
    dst.write(values, "activation")
    _reduce(values, data, reduce_op, reduce_res, reduce_cmd)


def _bias(bias: Any, partitions: int, op: Any) -> Any:
    if not isinstance(bias, NkiTensor):
        value = scalar(bias, partitions, "bias of activation", "activation-bias")
        at_least(nc_version.gen3, "activation with a number as bias")
        return value
    if isinstance(op, Op) and op.__name__ == "reciprocal":
        at_least(nc_version.gen3, "activation of nl.reciprocal with a bias")
    return column(bias, partitions, "bias of activation", "activation-bias", None)


def _reduce(values: np.ndarray, data: NkiTensor, reduce_op: Any, reduce_res: Any, cmd: reduce_cmd) -> None:
    registers = core().scalar_registers
    # Lanes follow the partitions of the input (inference).
    lanes = slice(data.start_partition, data.start_partition + data.shape[0])
    if cmd is _C.load_reduce:
        fail("activation-reduce", "activation has no load_reduce")
    if cmd in (_C.reset, _C.reset_reduce):
        registers.values[lanes], registers.valid[lanes] = 0, True
    if cmd in (_C.reduce, _C.reset_reduce):
        if not isinstance(reduce_op, Op) or reduce_op.__name__ != "add":
            fail("activation-reduce", f"reduce_op is {reduce_op!r}, it must be nl.add")
        if not registers.valid[lanes].all():
            fail("reduce-registers", "activation adds to registers that nothing has reset")
        registers.values[lanes] += values.sum(axis=1, dtype=np.float32)
    if reduce_res is None:
        return
    begin("activation", reduce_res)
    if (reduce_res.shape[0], reduce_res.free_size) != (data.shape[0], 1):
        fail("activation-reduce", f"reduce_res is {list(reduce_res.shape)}, not [{data.shape[0]}, 1]")
    if not registers.valid[lanes].all():
        fail("reduce-registers", "activation reads registers that nothing has reset")
    reduce_res.write(registers.values[lanes], "activation")


def activation_reduce(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    reduce_op: Any,
    reduce_res: NkiTensor,
    bias: Any = None,
    scale: Any = 1.0,
    name: str | None = None,
) -> None:
    """activation with reset_reduce."""
    activation(dst, op, data, bias, scale, reduce_op, reduce_res, _C.reset_reduce)
