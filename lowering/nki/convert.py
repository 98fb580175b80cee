"""
`convert-attention-to-nki`: functions of attention become `nki.kernel` ops of the same name.

A kernel takes the function's tensors in argument order and returns its results in shared HBM. NKI has no 64-bit
integers and no 1-bit ones: those arguments are int32 and uint8 there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX, Float64Type, IntegerType, ModuleOp, TensorType, i32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import DiagnosticException, VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, SdpaOp
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, TileType, dtype_name
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import u8
from flashlower.lowering.nki.keys_kernel import KeysKernel
from flashlower.lowering.nki.problem import Machine, Outputs, Problem, block_loops, choose_block
from flashlower.rewrites.outline_attention import attention_groups, is_kernel_function

TensorOf = TensorType[Attribute]

DEFAULT_NKI_TARGET = "trn2"

ARRANGEMENTS = ("auto", "keys", "rows")
"""What lies on the partitions of a tile of logits."""

SCORE_BYTES = (32768, 16384, 8192, 4096, 2048)
"""Bytes of a partition that the logits of a block may take; the first with which a kernel fits is used."""


@dataclass(frozen=True)
class ConvertAttentionToNkiPass(ModulePass):
    """
    Converts functions that are attention and nothing else (as `outline-attention` makes them) to `nki.kernel` ops.

    Raises `DiagnosticException` for what an NKI kernel cannot do; the message says why.
    """

    name = "convert-attention-to-nki"

    target: str = DEFAULT_NKI_TARGET
    """The hardware: trn1 (and inf2), trn2 or trn3."""

    cores: int = 1
    """Logical cores that share the work: 1, or 2 from trn2 on."""

    arrangement: str = "auto"
    """What lies on the partitions of a tile of logits: keys, rows (queries times head group), or auto."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = "trn1" if self.target == "inf2" else self.target
        if target not in HARDWARE:
            raise DiagnosticException(f"{self.name}: unknown target '{self.target}', expected trn1, inf2, trn2 or trn3")
        if self.cores not in (1, 2) or (self.cores == 2 and target == "trn1"):
            raise DiagnosticException(f"{self.name}: cores is {self.cores}, expected 1, or 2 from trn2 on")
        if self.arrangement not in ARRANGEMENTS:
            raise DiagnosticException(
                f"{self.name}: arrangement is '{self.arrangement}', expected one of {', '.join(ARRANGEMENTS)}"
            )
        machine = Machine(HARDWARE[target], self.cores)
        converted: set[str] = set()
        for function in [inner for inner in op.walk() if isinstance(inner, func.FuncOp)]:
            groups = attention_groups(function)
            if not groups:
                continue
            if not is_kernel_function(function):
                raise DiagnosticException(
                    f"{self.name}: @{function.sym_name.data} is more than attention on its arguments: "
                    "run outline-attention first"
                )
            kernel = convert_function(function, machine, self.arrangement)
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


def kernel_type(name: str, type: Attribute, memory: str = "shared_hbm") -> TileType:
    """A tensor type as NKI has it; raises `DiagnosticException` where it has none."""
    if not isa(type, TensorOf):
        raise DiagnosticException(f"{name} has type {type}, but arguments and results of an NKI kernel are tensors")
    if DYNAMIC_INDEX in type.get_shape():
        raise DiagnosticException(f"{name} has type {type}: NKI traces a kernel for one shape, give all sizes")
    if 0 in type.get_shape():
        raise DiagnosticException(f"{name} has type {type}, which is empty: there is nothing for a kernel to do")
    element = type.element_type
    if isa(element, IntegerType):
        element = u8 if element.width.data == 1 else i32 if element.width.data == 64 else element
    if dtype_name(element) is None:
        extra = "; convert it to f32" if isinstance(element, Float64Type) else ""
        raise DiagnosticException(f"{name} has type {type}, of which NKI has no numbers{extra}")
    return TileType(type.get_shape() or (1,), element, memory)


def convert_function(function: func.FuncOp, machine: Machine, arrangement: str) -> nki.KernelOp:
    """The kernel of a function; the most logits at once with which it fits into SBUF."""
    failure: VerifyException | None = None
    for score_bytes in SCORE_BYTES:
        kernel = FunctionLowering(function, machine, arrangement, score_bytes).build()
        try:
            kernel.verify()
            return kernel
        except VerifyException as e:
            if "capacity" not in str(e) and "SBUF size" not in str(e):
                raise DiagnosticException(f"@{function.sym_name.data} does not make an NKI kernel: {e}") from e
            failure = e
    raise DiagnosticException(
        f"@{function.sym_name.data} does not fit on {machine.hardware.name}: {failure}; "
        "split the keys with flash-decoding"
    )


class FunctionLowering:
    """Builds the kernel of one function: its attention operations, one after the other."""

    def __init__(self, function: func.FuncOp, machine: Machine, arrangement: str, score_bytes: int):
        self.function = function
        self.machine = machine
        self.arrangement = arrangement
        self.score_bytes = score_bytes
        name = function.sym_name.data
        block = function.body.block
        arguments: dict[str, TileType] = {}
        for i, argument in enumerate(block.args):
            hint = argument.name_hint or f"arg{i}"
            while hint in arguments:
                hint = f"{hint}_{i}"
            arguments[hint] = kernel_type(f"argument {hint} of @{name}", argument.type)
        self.ops = [op for op in block.ops if isinstance(op, AttentionOp | CombineOp)]
        self.b = KernelBuilder(name, arguments, machine.hardware.name, machine.cores, self._describe())
        self.tensors: dict[SSAValue, SSAValue] = dict(zip(block.args, self.b.arguments, strict=True))

    def build(self) -> nki.KernelOp:
        terminator = cast(func.ReturnOp, self.function.body.block.last_op)
        returned = list(terminator.arguments)
        for op in self.ops:
            for result, hint in zip(op.results, self._result_names(op), strict=False):
                if result in returned:
                    type = kernel_type(f"result {hint} of {op.name}", result.type)
                    self.tensors[result] = self.b.tile(hint, type.shape, type.element_type, type.memory.data)
        for op in self.ops:
            self._lower(op)
        for value in returned:
            if value not in self.tensors:
                raise DiagnosticException(f"@{self.function.sym_name.data} returns a value that no attention makes")
        return self.b.finish([self.tensors[value] for value in returned])

    def _describe(self) -> str:
        lines: list[str] = []
        for op in self.ops:
            layouts = [] if isinstance(op, CombineOp) else op.layouts()
            lines.append(f"{op.name}: " + ", ".join(f"{name}{layout_to_str(lay.data)}" for name, _, lay in layouts))
        return "\n".join(line.rstrip(": ") for line in lines)

    @staticmethod
    def _result_names(op: Operation) -> Sequence[str]:
        return ("partial", "partial_lse", "partial_sum") if isinstance(op, PartialOp) else ("out", "lse")

    def _outputs(self, op: Operation, accesses: Mapping[str, tuple[SSAValue | None, object]]) -> Outputs:
        found: dict[str, Access | None] = {}
        for name, (value, layout) in accesses.items():
            found[name] = None
            if value is not None and value in self.tensors and isa(value.type, TensorOf):
                found[name] = Access.of(self.tensors[value], value.type.get_shape(), layout)  # pyright: ignore[reportArgumentType]
        return Outputs(**found)

    def _lower(self, op: AttentionOp | CombineOp) -> None:
        if isinstance(op, SdpaOp):
            self._lower_sdpa(op)
        else:
            raise DiagnosticException(f"{op.name} is not lowered to NKI yet")

    def _lower_sdpa(self, op: SdpaOp) -> None:
        outputs = self._outputs(op, {"out": (op.output, op.output_layout), "lse": (op.lse, op.lse_layout)})
        problem = Problem(op, self.tensors)
        keys = problem.sizes["n"]
        tiles = -(-keys // PARTITIONS)
        block = choose_block(problem.sizes, max(self.score_bytes // (4 * tiles), 1), self.machine.cores)
        kernel = KeysKernel(self.b, problem, outputs, block)
        with block_loops(self.b, problem.sizes, block, self.machine.cores) as indices:
            kernel.emit(indices, Sum(), keys)
