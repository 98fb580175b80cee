"""
Which values of a kernel get a Python variable, and which share one.

Three steps, on one `tl.jit`:
1. Inlining. A pure value without a name that is used once, in the block where it is made, is written where
   it is used; so is a load, unless something is stored in between. A statement is what remains.
2. Liveness. Positions number the ops; a value is live in the gaps between its definition and its last use
   (inlined uses count where their statement is). A gap set is an int used as a bit mask.
3. Sharing. A loop's argument and result are one variable. An initial value and a yielded value join it when
   no gap needs both (Sreedhar et al., "Translating Out of Static Single Assignment Form", 1999); else the
   printer copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xdsl.ir import Block, BlockArgument, Operation, SSAValue
from xdsl.traits import MemoryEffectKind, get_effects, is_side_effect_free

from flashlower.dialects import tl
from flashlower.dialects.tl.types import PtrType, element_type, is_bool, is_integer

# Names for values that need one and have none.
_DEFAULT_NAMES: dict[type[Operation], str] = {
    tl.AtomicAddOp: "before",
    tl.CdivOp: "count",
    tl.ConstexprOp: "SIZE",
    tl.DotOp: "product",
    tl.LoadOp: "loaded",
    tl.MaxOp: "top",
    tl.ProgramIdOp: "pid",
    tl.NumProgramsOp: "programs",
    tl.SumOp: "total",
}


def default_name(value: SSAValue) -> str:
    """The name of a value without a hint, by what makes it and by its type."""
    op, element = value.owner, element_type(value.type)
    if isinstance(op, Block):
        return "i" if isinstance(op.parent_op(), tl.RangeOp) and value is op.args[0] else "arg"
    if type(op) in _DEFAULT_NAMES:
        return _DEFAULT_NAMES[type(op)]
    if is_bool(element):
        return "mask"
    if isinstance(element, PtrType):
        return "ptrs"
    return "offs" if is_integer(element) else "tmp"


def _writes(op: Operation) -> bool:
    effects = get_effects(op)
    return effects is None or any(effect.kind is MemoryEffectKind.WRITE for effect in effects)


class Variables:
    """The result of the three steps; `forced` are values that must have a variable of their own."""

    def __init__(self, kernel: tl.JitOp, forced: set[SSAValue]):
        self._kernel = kernel
        self._forced = forced
        self._inlined: set[SSAValue] = set()
        self._start: dict[Operation | Block, int] = {}
        self._end: dict[Operation, int] = {}
        self._leader: dict[SSAValue, SSAValue] = {}
        self._live: dict[SSAValue, int] = {}
        self._carried: set[SSAValue] = set()
        self._roots: dict[Operation, Operation] = {}
        self._number(kernel.body.block)
        self._inline_block(kernel.body.block)
        self._join_loops(kernel.body.block)
        self._share(kernel.body.block)
        self._share_names(kernel.body.block)

    def is_inlined(self, value: SSAValue) -> bool:
        """Whether the value is written where it is used."""
        return value in self._inlined

    def variable(self, value: SSAValue) -> SSAValue:
        """The value that stands for the variable this one lives in."""
        leader = self._leader.get(value, value)
        return leader if leader is value else self.variable(leader)

    def members(self, values: Iterable[SSAValue]) -> dict[SSAValue, list[SSAValue]]:
        """Values by the variable that they live in, both in order."""
        groups: dict[SSAValue, list[SSAValue]] = {}
        for value in values:
            groups.setdefault(self.variable(value), []).append(value)
        return groups

    # Step 1.

    def _number(self, block: Block) -> None:
        """Positions in textual order; a block has one too, before its ops, and a region op one at its end."""
        self._start[block] = len(self._start) + len(self._end)
        for op in block.ops:
            self._start[op] = len(self._start) + len(self._end)
            for region in op.regions:
                for inner in region.blocks:
                    self._number(inner)
            self._end[op] = len(self._start) + len(self._end)

    def _inline_block(self, block: Block) -> None:
        # Users come after their operands, so the statement of a user is known when it is asked for.
        for op in reversed(tuple(block.ops)):
            for region in op.regions:
                for inner in region.blocks:
                    self._inline_block(inner)
            self._roots[op] = op
            if len(op.results) == 1 and self._may_inline(op, op.results[0]):
                self._inlined.add(op.results[0])
                users = tuple(op.results[0].uses)
                if len(users) == 1 and users[0].operation.parent is block:
                    self._roots[op] = self._roots[users[0].operation]

    def _may_inline(self, op: Operation, value: SSAValue) -> bool:
        if isinstance(op, tl.ConstantOp):
            return True
        if value in self._forced or value.name_hint is not None or op.regions:
            return False
        if isinstance(op, tl.ExpandDimsOp) and self._is_named(op.input):
            # `x[:, None]` is free, and clearer than a second name for x, however often it is used.
            return value.first_use is not None
        if not value.has_one_use():
            return False
        (use,) = value.uses
        if use.operation.parent is not op.parent:
            return False
        if is_side_effect_free(op):
            return True
        return isinstance(op, tl.LoadOp) and not self._writes_between(op, self._roots[use.operation])

    @staticmethod
    def _is_named(value: SSAValue) -> bool:
        return isinstance(value, BlockArgument) or value.name_hint is not None

    @staticmethod
    def _writes_between(first: Operation, last: Operation) -> bool:
        op = first.next_op
        while op is not None and op is not last:
            if _writes(op):
                return True
            op = op.next_op
        # A loop or branch evaluates its own operands before its body.
        return False

    def statement(self, op: Operation) -> Operation:
        """The op whose statement the text of `op` is part of; itself when it is written in several."""
        return self._roots[op]

    # Step 2.

    def _sites(self, value: SSAValue) -> list[tuple[Operation, int]]:
        """The ops whose statements read a variable, with the operand that does."""
        sites: list[tuple[Operation, int]] = []
        for use in value.uses:
            user = use.operation
            if len(user.results) == 1 and user.results[0] in self._inlined:
                sites.extend(self._sites(user.results[0]))
            else:
                sites.append((user, use.index))
        return sites

    def _gaps(self, first: int, last: int) -> int:
        return (1 << last) - (1 << first) if last > first else 0

    def _liveness(self, value: SSAValue) -> int:
        if value in self._live:
            return self._live[value]
        owner = value.owner
        if isinstance(owner, Block):
            home, parent = owner, owner.parent_op()
            assert parent is not None
            defined = self._start[parent]
        else:
            assert owner.parent is not None
            home, defined = owner.parent, self._end[owner]
        live = 1 << defined
        for user, index in self._sites(value):
            live |= self._gaps(defined, self._live_in_user(user, index, home))
            live |= self._nested_gaps(user, home)
        live |= self._written_gaps(value)
        self._live[value] = live
        return live

    def _live_in_user(self, user: Operation, index: int, home: Block) -> int:
        """The end of the live range in the home block."""
        op = user
        while op.parent is not home:
            parent = op.parent_op()
            assert parent is not None
            op = parent
        # The bounds of a loop are read after its initial values are written.
        bound = op is user and isinstance(op, tl.RangeOp) and index < 3
        return self._start[op] + (1 if bound else 0)

    def _nested_gaps(self, user: Operation, home: Block) -> int:
        """The gaps inside loops and branches between the home block and the use."""
        gaps, op = 0, user
        while (block := op.parent) is not home:
            assert block is not None
            parent = block.parent_op()
            assert parent is not None
            if isinstance(parent, tl.RangeOp):
                # Another iteration reads it again.
                gaps |= self._gaps(self._start[parent], self._end[parent])
            else:
                gaps |= self._gaps(self._start[block], self._start[op])
            op = parent
        return gaps

    def _written_gaps(self, value: SSAValue) -> int:
        """The gaps after the ends of a body or branch, where the variable of a carried value is written."""
        owner = value.owner
        regions: Iterable[Block] = ()
        if isinstance(owner, Block):
            regions = (owner,) if isinstance(owner.parent_op(), tl.RangeOp) else ()
        elif isinstance(owner, tl.IfOp):
            regions = [region.block for region in owner.regions if region.blocks]
        gaps = 0
        for block in regions:
            assert block.last_op is not None
            gaps |= 1 << self._start[block.last_op]
        return gaps

    # Step 3.

    def _join_loops(self, block: Block) -> None:
        """One variable for a loop's argument and result, in all loops before anything else joins one."""
        for op in block.walk():
            if isinstance(op, tl.RangeOp):
                for argument, output in zip(op.body.block.args[1:], op.outputs, strict=True):
                    self._join(argument, output)
                    self._carried |= {argument, output}

    def _share(self, block: Block) -> None:
        for op in block.walk():
            if isinstance(op, tl.RangeOp):
                targets: Sequence[SSAValue] = op.body.block.args[1:]
                for argument, init in zip(targets, op.inits, strict=True):
                    self._carry(argument, init)
            else:
                targets = op.results
            for region in op.regions:
                last = region.block.last_op if region.blocks else None
                if isinstance(last, tl.YieldOp):
                    for target, value in zip(targets, last.arguments, strict=True):
                        self._carry(target, value)

    def _carry(self, target: SSAValue, value: SSAValue) -> None:
        if self._try_join(target, value):
            self._carried |= {target, value}

    def _share_names(self, block: Block) -> None:
        """
        Let values of one name in one block follow each other in one variable: `s = ...; s = f(s)`.

        In one block only, and nothing that is carried: Triton carries through a loop what is assigned both
        before and in it.
        """
        latest: dict[str, SSAValue] = {}
        for op in block.ops:
            for region in op.regions:
                for inner in region.blocks:
                    self._share_names(inner)
            if op.regions:
                continue
            for value in op.results:
                hint = value.name_hint
                if hint is None or value in self._carried or not self._has_own_variable(value):
                    continue
                if hint in latest:
                    self._try_join(latest[hint], value)
                latest[hint] = value

    def _has_own_variable(self, value: SSAValue) -> bool:
        """Whether a value may be assigned to: arguments, constants and counters are not."""
        owner = value.owner
        if isinstance(owner, Block):
            return isinstance(owner.parent_op(), tl.RangeOp) and value is not owner.args[0]
        return value not in self._inlined and not isinstance(owner, tl.ConstexprOp)

    def _try_join(self, target: SSAValue, value: SSAValue) -> bool:
        """Let a value live in a variable, if nothing else that is in it is needed at the same time."""
        if not self._has_own_variable(value):
            return False
        first, second = self.variable(target), self.variable(value)
        if first is not second and not self._liveness(first) & self._liveness(second):
            self._join(first, second)
            return True
        return first is second

    def _join(self, first: SSAValue, second: SSAValue) -> None:
        first, second = self.variable(first), self.variable(second)
        mask = self._liveness(first) | self._liveness(second)
        self._leader[second] = first
        self._live[first] = mask
