"""
What `fuse-attention{explain=true}` says: for every softmax that it met, why it was or was not fused.

A softmax is an exponential whose sum is taken and that is used otherwise too, or that goes into a dot as it is or over
a row's number. Other exponentials (SiLU, say), and dots without one, are not worth a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO

from xdsl.dialects.builtin import FileLineColLoc, ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue, Use
from xdsl.printer import Printer

from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.attention.score_syntax import match_score_forms, print_score_forms
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.composites import attention_decomposition
from flashlower.rewrites.fuse_attention.constants import ConstantFolder

# How far from an exponential a dot is looked for.
_MAX_STEPS = 64


@dataclass(frozen=True)
class Remark:
    """What became of one softmax, or of one composite that is named attention."""

    where: str
    """The source location where the module has one, else the function; and the value: its name and type."""
    fused: bool
    message: str
    """What was found, or why nothing was."""

    def __str__(self) -> str:
        return f"{self.where}: remark: {'fused: ' if self.fused else 'not fused: '}{self.message}"


@dataclass
class Explainer:
    """Collects the remarks on one module: made before anything is fused, then told of each dot."""

    module: ModuleOp
    folder: ConstantFolder
    _exponentials: list[Operation] = field(init=False)
    _where: dict[Operation, str] = field(init=False)
    _groups: dict[Operation, str] = field(default_factory=dict[Operation, str])
    _reasons: dict[tuple[Operation, int], str] = field(default_factory=dict[tuple[Operation, int], str])

    def __post_init__(self) -> None:
        self._exponentials = [op for op in self.module.walk() if self._is_exponential(op)]
        self._where = {op: where(op) for op in self._exponentials if _is_softmax(op.results[0])}

    def _is_exponential(self, op: Operation) -> bool:
        if op.name == "stablehlo.power":
            return self.folder.splat(op.operands[0]) is not None
        return op.name == "stablehlo.exponential"

    def fused(self, visited: set[object], group: SdpaOp) -> None:
        """A group was found; `visited` are the operations that it went through."""
        met = [op for op in self._exponentials if op in visited and op not in self._groups]
        # A softmax in a form that only the matcher knows is one, too.
        softmax = next((op for op in met if op in self._where), met[0] if met else None)
        if softmax is not None:
            self._where.setdefault(softmax, where(softmax))
            self._groups[softmax] = describe(group)

    def failed(self, dot: Operation, side: int, reason: str) -> None:
        """A dot does not take weights of attention on this side."""
        self._reasons[dot, side] = reason

    def remarks(self) -> list[Remark]:
        """A remark for each softmax, in the order of the module, and for each composite that is left."""
        remarks: list[Remark] = []
        for op, place in self._where.items():
            group = self._groups.get(op)
            remarks.append(Remark(place, group is not None, group or self._reason(op)))
        for op in self.module.walk():
            if (function := attention_decomposition(op)) is not None:
                reason = f"no attention is found in @{function}, the decomposition of this composite; it stays"
                remarks.append(Remark(where(op), False, reason))
        return remarks

    def _reason(self, exponential: Operation) -> str:
        dots, others = _reached(exponential.results[0])
        for dot, side in dots:
            if (reason := self._reasons.get((dot, side))) is not None:
                return f"{reason} (second dot: {_value(dot)})"
        if dots:
            return f"the softmax is no operand of {_value(dots[0][0])}, which it only takes part in"
        users = ", ".join(dict.fromkeys(others)) or "nothing"
        return f"the softmax is not followed by a dot in the same block; it goes to {users}"


def where(op: Operation) -> str:
    """The location of an operation as the remark begins with it."""
    location = op.location
    value = _value(op)
    if isinstance(location, FileLineColLoc):
        return f"{location.filename.data}:{location.line.data}:{location.column.data}: {value}"
    parent: Operation | None = op
    while parent is not None and parent.name != "func.func":
        parent = parent.parent_op()
    name = None if parent is None else parent.properties.get("sym_name")
    return f"@{name.data}: {value}" if isinstance(name, StringAttr) else value


def _value(op: Operation) -> str:
    """`%name = op : type` of the first result; values without names are numbered by whoever prints them."""
    if not op.results:
        return op.name
    result = op.results[0]
    name = "" if result.name_hint is None else f"%{result.name_hint} = "
    return f"{name}{op.name} : {result.type}"


# From the exponential onwards


def _is_softmax(value: SSAValue) -> bool:
    """Whether an exponential is summed for more than its sum, or goes into a dot as it is or over a row's number."""
    summed, into_dot, others = False, False, False
    worklist = [value]
    while worklist:
        for use in worklist.pop().uses:
            op = use.operation
            if op.name == "stablehlo.reduce" and use.index == 0:
                summed |= hlo.reduce_kind(op) is not None
            elif op.name == "stablehlo.dot_general":
                into_dot = True
            elif (
                op.name in hlo.VIEWS
                or op.name in ("stablehlo.convert", "stablehlo.select")
                or _divides_by_row(use)
                or (op.name == "stablehlo.multiply" and _is_summed(op.results[0]))
            ):
                worklist.append(op.results[0])
            else:
                others = True
    return into_dot or (summed and others)


def _is_summed(value: SSAValue) -> bool:
    """Whether a value is reduced: exponentials times a mask are."""
    return any(use.operation.name == "stablehlo.reduce" and use.index == 0 for use in value.uses)


def _divides_by_row(use: Use) -> bool:
    """Whether a use is the numerator of a division by what is reduced from something, or a function of it."""
    if use.operation.name != "stablehlo.divide" or use.index != 0:
        return False
    denominator = use.operation.operands[1]
    while (op := hlo.owner(denominator)) is not None and len(op.operands) == 1:
        denominator = op.operands[0]
    return op is not None and op.name == "stablehlo.reduce"


def _reached(value: SSAValue) -> tuple[list[tuple[Operation, int]], list[str]]:
    """The dots that weights go into, nearest first, each with its operand; and what else they go to."""
    dots: list[tuple[Operation, int]] = []
    others: list[str] = []
    seen = {value}
    queue = [value]
    for current in queue:
        for use in current.uses:
            op = use.operation
            if op.name == "stablehlo.dot_general":
                dots.append((op, use.index))
            elif op.name == "stablehlo.reduce":
                # The sum of the softmax itself.
                continue
            elif op.name.startswith("stablehlo.") and len(op.results) == 1 and not op.regions:
                if op.results[0] not in seen and len(queue) < _MAX_STEPS:
                    seen.add(op.results[0])
                    queue.append(op.results[0])
            else:
                others.append(op.name)
    return dots, others


# What a group is


def describe(op: SdpaOp) -> str:
    """What was found: sizes, layouts, scale, score, lengths, sinks, LSE."""
    sizes = op.dim_sizes()
    inner = ("h", "g", "m", "n", "k", "d")
    batch = [size for name, size in sizes.items() if name not in inner]
    shape = [
        *([f"batch {' x '.join(map(_size, batch))}"] if batch else []),
        *(
            f"{what} {_size(sizes[name])}"
            for name, what in (("h", "KV heads"), ("g", "group"), ("m", "queries"), ("n", "keys"))
        ),
        f"head sizes {_size(sizes['k'])} and {_size(sizes['d'])}",
    ]
    layouts = ", ".join(name + layout_to_str(layout.data) for name, _, layout in op.layouts())
    return f"{', '.join(shape)}; {layouts}; scale {op.scale.value.data:.6g}; {_score(op)}"


def _size(size: int) -> str:
    return "?" if size < 0 else str(size)


def _score(op: SdpaOp) -> str:
    if not op.score.blocks:
        return "no mask"
    captures = ", ".join(str(value.type) for value in op.captures())
    forms = match_score_forms(op.score)
    if forms is None:
        return f"score region of the logit{' and indices' if not captures else f' and {captures}'}"
    stream = StringIO()
    print_score_forms(forms, Printer(stream))
    return f"score {stream.getvalue()}"
