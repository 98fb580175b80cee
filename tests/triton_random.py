"""Random structured kernels on i32 scalars, and what they compute: the printer must not change that."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from triton_kernels import function
from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import IndexType, IntegerAttr, TensorType, i32
from xdsl.ir import Block, Operation, SSAValue

from flashlower.dialects import launch, tl
from flashlower.lowering.triton.builder import KernelBuilder

SIZE = 8
"""The kernels read as many numbers, and write as many."""

_NAMES = (None, None, None, "a", "b", "acc")


class _Generator:
    def __init__(self, rng: random.Random):
        self.rng = rng
        pointer = tl.PtrType(i32)
        self.b = KernelBuilder("random_kernel", {"in_ptr": pointer, "out_ptr": pointer, "n": i32})

    def name(self) -> str | None:
        return self.rng.choice(_NAMES)

    def load(self) -> SSAValue:
        where = self.b.add(self.b.arg("in_ptr"), self.rng.randrange(SIZE))
        return self.b.load(where, name=self.name())

    def store(self, value: SSAValue) -> None:
        self.b.store(self.b.add(self.b.arg("out_ptr"), self.rng.randrange(SIZE)), value)

    def operation(self, values: list[SSAValue]) -> SSAValue:
        b, pick = self.b, self.rng.choice
        x, y = pick(values), pick([*values, 1, 2])
        # Kept small by the remainder, so that nothing overflows.
        kind = self.rng.randrange(5)
        if kind == 0:
            return b.mod(b.add(x, y), 1009, name=self.name())
        if kind == 1:
            return b.sub(b.mod(b.mul(x, y), 97), x, name=self.name())
        if kind == 2:
            return b.minimum(x, y, name=self.name())
        if kind == 3:
            return b.where(b.lt(x, y), b.neg(x), y, name=self.name())
        return b.floordiv(x, 3, name=self.name())

    def statements(self, values: list[SSAValue], depth: int) -> None:
        """Append to `values` what the new statements make, for later ones in this block."""
        for _ in range(self.rng.randrange(2, 6)):
            kind = self.rng.randrange(10)
            if kind < 5 or depth == 0:
                values.append(self.operation(values))
            elif kind == 5:
                self.store(self.rng.choice(values))
            elif kind == 6:
                values.append(self.load())
            elif kind == 7:
                values.extend(self.branch(values, depth))
            else:
                values.extend(self.loop(values, depth))

    def loop(self, values: list[SSAValue], depth: int) -> list[SSAValue]:
        names = ["x", "y", "acc"][: self.rng.randrange(1, 4)]
        inits = {name: self.rng.choice(values) for name in names}
        # Zero iterations are a case too.
        end = self.rng.choice([0, 1, 3])
        with self.b.range(0, end, 1, inits=inits, name=self.rng.choice(["i", None])) as loop:
            inner = [*values, loop.index, *loop.args.values()]
            self.statements(inner, depth - 1)
            # Arguments are yielded as they are, swapped and twice.
            pool = [*loop.args.values(), *inner[-4:]]
            self.b.yield_(**{name: self.rng.choice(pool) for name in names})
        return list(loop.results.values())

    def branch(self, values: list[SSAValue], depth: int) -> list[SSAValue]:
        names = ["r", "acc"][: self.rng.randrange(0, 3)]

        def build() -> Mapping[str, SSAValue]:
            inner = list(values)
            self.statements(inner, depth - 1)
            return {name: self.rng.choice(inner) for name in names}

        condition = self.b.lt(self.rng.choice(values), self.rng.choice(values))
        return list(self.b.if_(condition, build, build).values())


def random_kernel(rng: random.Random) -> tl.JitOp:
    """A kernel with nested loops and branches, without an argument that is out of range."""
    generator = _Generator(rng)
    values = [generator.load(), generator.load(), generator.b.arg("n")]
    generator.statements(values, 3)
    for position, value in enumerate(values[-SIZE:]):
        generator.b.store(generator.b.add(generator.b.arg("out_ptr"), position), value)
    return generator.b.finish()


def launcher() -> func.FuncOp:
    """main(x [SIZE] i32) -> [SIZE] i32, with SIZE passed as n; what the kernel leaves alone is its input."""
    type = TensorType(i32, [SIZE])
    main, body = function("main", [type, type], type, ["x", "out"])
    with ImplicitBuilder(body):
        one, size = (arith.ConstantOp(IntegerAttr(n, IndexType())).result for n in (1, SIZE))
        launch.KernelOp("random_kernel", [one], [*body.args, size])
        func.ReturnOp(body.args[1])
    return main


def evaluate(kernel: tl.JitOp, numbers: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Run the kernel op by op, as SSA means it; writes to `out`."""
    in_ptr, out_ptr, n = kernel.body.block.args
    # A pointer is its array and a position.
    _run(kernel.body.block, {in_ptr: (numbers, 0), out_ptr: (out, 0), n: SIZE})


def _truncated(x: int, y: int) -> int:
    return int(x / y)


def _run(block: Block, env: dict[SSAValue, object]) -> list[object]:
    for op in block.ops:
        given: list = [env[operand] for operand in op.operands]
        if isinstance(op, tl.YieldOp):
            return given
        if isinstance(op, tl.RangeOp):
            start, end, step, *carried = given
            for i in range(start, end, step):
                env.update(zip(op.body.block.args, [i, *carried], strict=True))
                carried = _run(op.body.block, env)
            env.update(zip(op.results, carried, strict=True))
        elif isinstance(op, tl.IfOp):
            region = op.then_region if given[0] else op.else_region
            env.update(zip(op.results, _run(region.block, env), strict=True))
        elif isinstance(op, tl.StoreOp):
            array, position = given[0]
            array[position] = given[1]
        elif op.results:
            env[op.results[0]] = _value(op, given)
    return []


def _value(op: Operation, given: list) -> object:
    match op:
        case tl.ConstantOp():
            return op.python_value
        case tl.LoadOp():
            array, position = given[0]
            return int(array[position])
        case tl.AddOp() if isinstance(given[0], tuple):
            array, position = given[0]
            return array, position + given[1]
        case tl.AddOp():
            return given[0] + given[1]
        case tl.SubOp():
            return given[0] - given[1]
        case tl.MulOp():
            return given[0] * given[1]
        case tl.ModOp():
            return given[0] - given[1] * _truncated(given[0], given[1])
        case tl.FloorDivOp():
            return _truncated(given[0], given[1])
        case tl.MinimumOp():
            return min(given)
        case tl.NegOp():
            return -given[0]
        case tl.LtOp():
            return given[0] < given[1]
        case tl.WhereOp():
            return given[1] if given[0] else given[2]
        case _:
            raise NotImplementedError(op.name)
