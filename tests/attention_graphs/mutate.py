"""Changes of one edge of a module: an operand, an operation, a permutation, an axis."""

from __future__ import annotations

from random import Random

from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, TensorType, i32, i64
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects import stablehlo

BINARY = (
    *(stablehlo.AddOp, stablehlo.SubtractOp, stablehlo.MulOp, stablehlo.DivOp),
    *(stablehlo.MaxOp, stablehlo.MinOp),
)
UNARY = (stablehlo.ExpOp, stablehlo.TanhOp, stablehlo.NegOp, stablehlo.AbsOp)
DIMENSIONS = ("permutation", "broadcast_dimensions", "dimensions", "start_indices")


def mutate(module: ModuleOp, seed: int) -> str | None:
    """Makes one random change that still verifies, and says which; None where none was found."""
    random = Random(seed)
    blocks = [block for op in module.walk() for region in op.regions for block in region.blocks]
    # Loops count in these; a changed count may never end.
    counter = TensorType(i32, [])
    ops = [
        op
        for block in blocks
        for op in block.ops
        if op.name.startswith("stablehlo.") and counter not in (*op.operand_types, *op.result_types)
    ]
    for _ in range(20):
        op = random.choice(ops)
        change = random.choice([_operand, _operand, _dimensions, _operation])
        undo_text = str(op)
        if change(op, random) and _verifies(module):
            return f"{change.__name__} of {undo_text}"
    return None


def _verifies(module: ModuleOp) -> bool:
    try:
        module.verify()
    except VerifyException:
        return False
    return True


def _values_before(op: Operation) -> list[SSAValue]:
    block = op.parent
    assert isinstance(block, Block)
    values: list[SSAValue] = list(block.args)
    for other in block.ops:
        if other is op:
            break
        values += other.results
    return values


def _operand(op: Operation, random: Random) -> bool:
    """Another value of the same type for an operand."""
    if not op.operands:
        return False
    position = random.randrange(len(op.operands))
    old = op.operands[position]
    others = [v for v in _values_before(op) if v.type == old.type and v is not old]
    if not others:
        return False
    op.operands[position] = random.choice(others)
    return True


def _dimensions(op: Operation, random: Random) -> bool:
    """The same list of dimensions in another order, or with one number changed; undone where it does not verify."""
    for name in DIMENSIONS:
        attr = op.properties.get(name)
        if isinstance(attr, DenseArrayBase) and len(attr):
            values = [int(v) for v in attr.iter_values()]
            if random.random() < 0.5 and len(values) > 1:
                random.shuffle(values)
            else:
                values[random.randrange(len(values))] = random.randrange(5)
            op.properties[name] = DenseArrayBase.from_list(i64, values)
            try:
                op.verify()
            except VerifyException:
                op.properties[name] = attr
                return False
            return op.properties[name] != attr
    return False


def _operation(op: Operation, random: Random) -> bool:
    """Another operation on the same operands."""
    for kinds in (BINARY, UNARY):
        if isinstance(op, kinds):
            kind = random.choice([k for k in kinds if not isinstance(op, k)])
            new = kind.create(operands=op.operands, result_types=[op.results[0].type])
            Rewriter.insert_op(new, InsertPoint.before(op))
            op.results[0].replace_all_uses_with(new.results[0])
            Rewriter.erase_op(op)
            return True
    return False
