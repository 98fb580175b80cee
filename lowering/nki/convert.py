"""
`convert-attention-to-nki`: functions of attention become `nki.kernel` ops of the same name.

A kernel takes the function's tensors in argument order and returns its results in shared HBM. NKI has no 64-bit
integers and no 1-bit ones: those arguments are int32 and uint8 there.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    ModuleOp,
    TensorType,
)
from xdsl.ir import Attribute
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import DiagnosticException, VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import AttentionOp, CombineOp, ScheduleAttr, UpdateCacheOp
from flashlower.dialects.nki.types import HARDWARE
from flashlower.lowering.nki.cost import account
from flashlower.lowering.nki.function_lowering import SCHEDULE, FunctionLowering
from flashlower.lowering.nki.problem import Machine
from flashlower.lowering.nki.schedule import ARRANGEMENTS
from flashlower.rewrites.outline_attention import attention_groups, is_kernel_function

TensorOf = TensorType[Attribute]

DEFAULT_NKI_TARGET = "trn2"

SCORE_BYTES = (32768, 16384, 8192, 4096, 2048)
"""Bytes of a partition that the logits of a block may take; the first with which a kernel fits is used."""


class TooLargeError(DiagnosticException):
    """A kernel needs more memory on chip than there is."""


@dataclass(frozen=True)
class ConvertAttentionToNkiPass(ModulePass):
    """
    Converts functions that are attention and nothing else (as `outline-attention` makes them) to `nki.kernel` ops.

    Raises `DiagnosticException` for what an NKI kernel cannot do; the message says why.
    """

    name = "convert-attention-to-nki"

    target: str = DEFAULT_NKI_TARGET
    """The hardware: trn1 (and inf2), trn2 or trn3."""

    cores: int | None = None
    """Logical cores that share the work: 1, or 2 from trn2 on; without, the schedule's, or else 1."""

    arrangement: str = "auto"
    """
    What lies on the partitions of a tile of logits: keys, rows (queries times head group), or auto: the schedule's, or
    else what the cost account says.
    """

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = "trn1" if self.target == "inf2" else self.target
        if target not in HARDWARE:
            raise DiagnosticException(f"{self.name}: unknown target '{self.target}', expected trn1, inf2, trn2 or trn3")
        if self.arrangement not in ("auto", *ARRANGEMENTS):
            expected = ", ".join(("auto", *ARRANGEMENTS))
            raise DiagnosticException(f"{self.name}: arrangement is '{self.arrangement}', expected one of {expected}")
        converted: set[str] = set()
        for function in [inner for inner in op.walk() if isinstance(inner, func.FuncOp)]:
            groups = attention_groups(function)
            if not groups:
                continue
            for inner in (inner for group in groups for inner in group):
                if isinstance(inner, UpdateCacheOp):
                    raise DiagnosticException(
                        f"{self.name}: @{function.sym_name.data} has {inner.name}, but NKI kernels do not store: "
                        "lower it by decompose-attention, or store new keys before the kernel is called"
                    )
                if isinstance(inner, AttentionOp):
                    self._check_codes(inner)
            if not is_kernel_function(function):
                raise DiagnosticException(
                    f"{self.name}: @{function.sym_name.data} is more than attention on its arguments: "
                    "run outline-attention first"
                )
            machine = Machine(HARDWARE[target], self._cores(function, target))
            kernel = best_kernel(function, machine, self.arrangement)
            Rewriter.replace_op(function, kernel, [])
            converted.add(function.sym_name.data)
        for call in [inner for inner in op.walk() if isinstance(inner, func.CallOp)]:
            name = call.callee.string_value()
            if name in converted:
                launch = nki.CallOp(name, call.arguments, call.result_types)
                for old, new in zip(call.results, launch.outputs, strict=True):
                    new.name_hint = old.name_hint
                Rewriter.replace_op(call, launch)
        for inner in op.walk():
            if isinstance(inner, AttentionOp | CombineOp):
                raise DiagnosticException(f"{self.name}: {inner.name} outside of a func.func")

    def _check_codes(self, op: AttentionOp) -> None:
        """Codes that are 8-bit floats, with nothing to compute on them, are read as those floats; others are not."""
        for name, value in (("k", op.key), ("v", op.value)):
            quantization = op.quantization(name)
            if quantization is None:
                continue
            attr, type = quantization.attr, value.type
            if isa(type, TensorOf) and type.element_type == attr.codes and not list(quantization.shared()):
                continue
            raise DiagnosticException(
                f"{self.name}: {name} of {op.name} has {attr.code_name} codes in elements of "
                f"{type.element_type if isa(type, TensorOf) else type}, which NKI kernels do not dequantise: pass it "
                "dequantised, or as 8-bit floats without scales"
            )

    def _cores(self, function: func.FuncOp, target: str) -> int:
        """The cores of a launch."""
        cores = self.cores
        for op in function.body.block.ops:
            if cores is None and isinstance(op, AttentionOp) and op.schedule is not None:
                cores = op.schedule.option("cores")
        cores = 1 if cores is None else cores
        if cores not in (1, 2) or (cores == 2 and target == "trn1"):
            raise DiagnosticException(f"{self.name}: cores is {cores}, expected 1, or 2 from trn2 on")
        return cores


def best_kernel(function: func.FuncOp, machine: Machine, arrangement: str) -> nki.KernelOp:
    """The kernel of a function; of several, the one whose busiest engine has least to do by the account."""
    schedules = [op.schedule for op in function.body.block.ops if isinstance(op, AttentionOp)]

    def is_open(field: str) -> bool:
        return any(schedule is None or schedule.option(field) is None for schedule in schedules)

    kernels: list[nki.KernelOp] = []
    failures: list[TooLargeError] = []
    for choice in ARRANGEMENTS if arrangement == "auto" and is_open("keys_on_partitions") else (arrangement,):
        try:
            kernel = convert_function(function, machine, choice)
        except TooLargeError as e:
            failures.append(e)
            continue
        kernels.append(kernel)
        made_by = kernel.attributes.get(SCHEDULE)
        if isinstance(made_by, ScheduleAttr) and made_by.option("sequences") and is_open("sequences"):
            kernels.append(convert_function(function, machine, choice, sequences=1))
    if not kernels:
        raise failures[-1]
    if len(kernels) == 1:
        return kernels[0]
    return min(kernels, key=lambda kernel: account(kernel).order)


def convert_function(
    function: func.FuncOp, machine: Machine, arrangement: str, sequences: int | None = None
) -> nki.KernelOp:
    """
    The kernel of a function; the most logits at once with which it fits into SBUF.

    `arrangement` is auto or one of `ARRANGEMENTS`; `sequences` share a tile at most, where no schedule says how many.
    """
    failure: VerifyException | None = None
    for score_bytes in SCORE_BYTES:
        kernel = FunctionLowering(function, machine, arrangement, score_bytes, sequences).build()
        try:
            kernel.verify()
            return kernel
        except VerifyException as e:
            if "capacity" not in str(e) and "SBUF size" not in str(e):
                raise DiagnosticException(f"@{function.sym_name.data} does not make an NKI kernel: {e}") from e
            failure = e
    # Sums of V lie in PSUM, logits in SBUF.
    advice = "cut V along its head size" if "PSUM" in str(failure) else "split the keys with flash-decoding"
    raise TooLargeError(f"@{function.sym_name.data} does not fit on {machine.hardware.name}: {failure}; {advice}")
