"""Loops and branches, whose values go by name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from xdsl.dialects.builtin import i32
from xdsl.ir import Block, Region, SSAValue

from flashlower.dialects import tl
from flashlower.lowering.triton.builder.core import BuilderCore, Operand


class Carried(Mapping[str, SSAValue]):
    """
    Loop-carried values by name: inside a loop the current ones, after it the last ones.

    `c.acc` and `c["acc"]` are the same.
    """

    def __init__(self, names: Sequence[str], values: Sequence[SSAValue]):
        self._values = dict(zip(names, values, strict=True))

    def __getitem__(self, name: str) -> SSAValue:
        return self._values[name]

    def __getattr__(self, name: str) -> SSAValue:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the loop carries {', '.join(self._values) or 'nothing'}, not {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Loop:
    """
    A loop under construction: what `with b.range(...) as loop` gives.

    `loop.index` is the counter and `loop.args` the carried values, inside the body; `loop.results` the
    carried values after it, once the `with` has ended.
    """

    def __init__(self, index: SSAValue, args: Carried):
        self.index = index
        self.args = args
        self._results: Carried | None = None

    @property
    def results(self) -> Carried:
        if self._results is None:
            raise TypeError("the results of a loop exist after its `with` block")
        return self._results

    def finish(self, results: Carried) -> None:
        """Called by the builder at the end of the `with`."""
        self._results = results


class ControlBuilder(BuilderCore):
    """Builds what dialects/tl/control.py has."""

    @contextmanager
    def range(
        self,
        start: Operand,
        end: Operand,
        step: Operand = 1,
        *,
        inits: Mapping[str, SSAValue] | None = None,
        num_stages: int | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> Generator[Loop]:
        """
        for name in tl.range(start, end, step): a loop that carries `inits` by name.

            with b.range(0, n, block, inits={"acc": acc}, name="start_n") as loop:
                b.yield_(acc=b.add(loop.args.acc, ...))
            acc = loop.results.acc

        The three bounds have one integer type; numbers take it from the others, or are i32. `yield_` is the
        last call in the body and names every carried value; a loop that carries nothing needs none.
        """
        initial = dict(inits or {})
        bounds = (start, end, step)
        type = next((bound.type for bound in bounds if isinstance(bound, SSAValue)), i32)
        low, high, stride = (self.value(bound, type) for bound in bounds)
        body = Block(arg_types=[type, *(init.type for init in initial.values())])
        index, *carried = body.args
        index.name_hint = name
        for argument, hint in zip(carried, initial, strict=True):
            argument.name_hint = hint
        loop = Loop(index, Carried(tuple(initial), carried))
        outer, self._block = self._block, body
        self._open.append((tuple(initial), [value.type for value in initial.values()]))
        try:
            yield loop
        finally:
            self._block = outer
            self._open.pop()
        if not isinstance(body.last_op, tl.YieldOp):
            if initial:
                raise TypeError(f"the loop carries {', '.join(initial)}: end its body with yield_")
            body.add_op(tl.YieldOp())
        op = tl.RangeOp(low, high, stride, tuple(initial.values()), Region(body), num_stages=num_stages)
        self._verify(op)
        self._append(op, comment)
        for result, hint in zip(op.outputs, initial, strict=True):
            result.name_hint = hint
        loop.finish(Carried(tuple(initial), op.outputs))

    def yield_(self, **values: Operand) -> None:
        """The next values of the loop that is being built, by name: the last call in its body."""
        if not self._open:
            raise TypeError("yield_ is called inside a loop")
        names, types = self._open[-1]
        if set(values) != set(names):
            raise TypeError(
                f"yield_ gives {', '.join(values) or 'nothing'}, but {', '.join(names) or 'nothing'} is carried"
            )
        self._block.add_op(
            tl.YieldOp(*[self.value(values[name], type) for name, type in zip(names, types, strict=True)])
        )

    def if_(
        self,
        condition: SSAValue,
        then: Callable[[], Mapping[str, SSAValue] | None],
        otherwise: Callable[[], Mapping[str, SSAValue] | None] | None = None,
        *,
        comment: str | None = None,
    ) -> Carried:
        """
        if condition: then() else: otherwise(); each builds its branch and returns its results by name.

            r = b.if_(is_masked, lambda: {"s": b.where(keep, s, -1e30)}, lambda: {"s": s})
            r.s

        Both return the same names and types, or None for no results; `otherwise` may be left out then.
        """
        branches: list[Region] = []
        given: list[dict[str, SSAValue]] = []
        for build in (then, otherwise):
            if build is None:
                branches.append(Region())
                continue
            block = Block()
            outer, self._block = self._block, block
            try:
                values = dict(build() or {})
            finally:
                self._block = outer
            given.append(values)
            branches.append(Region(block))
        names = tuple(given[0])
        if names and otherwise is None:
            raise TypeError("a branch with results needs the other branch too")
        for region, values in zip(branches, given, strict=False):
            if set(values) != set(names):
                raise TypeError(f"the branches give {', '.join(names)} and {', '.join(values)}")
            region.block.add_op(tl.YieldOp(*(values[name] for name in names)))
        op = tl.IfOp(condition, [given[0][name].type for name in names], branches[0], branches[1])
        self._verify(op)
        self._append(op, comment)
        for result, hint in zip(op.outputs, names, strict=True):
            result.name_hint = hint
        return Carried(names, op.outputs)
