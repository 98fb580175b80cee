"""StableHLO's loops, branches, and ops that refer to other computations.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I32,
    ArrayAttr,
    BoolAttr,
    DictionaryAttr,
    FlatSymbolRefAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    i1,
    i32,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, Region
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.traits import IsTerminator, Pure, RecursiveMemoryEffect, SymbolTable, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Operand,
    StableHLOOp,
    check_count,
    check_type,
)


@irdl_op_definition
class ReturnOp(StableHLOOp):
    """Ends a region of a StableHLO op with the region's results."""

    name = "stablehlo.return"

    results_ = var_operand_def()

    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, results: Sequence[Operand]):
        super().__init__(operands=[results])


def _verify_types(what: str, got: Sequence[Attribute], expected: Sequence[Attribute]) -> None:
    check_count(f"{what}s", len(got), len(expected))
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        check_type(f"{what} {i}", a, b)


def _verify_region(name: str, region: Region, arguments: Sequence[Attribute], results: Sequence[Attribute]) -> None:
    block = region.block
    _verify_types(f"argument of {name}", block.arg_types, arguments)
    terminator: Operation | None = block.last_op
    if not isinstance(terminator, ReturnOp):
        found = "nothing" if terminator is None else terminator.name
        raise VerifyException(f"expected {name} to end in {ReturnOp.name}, but got {found}")
    _verify_types(f"result of {name}", terminator.operand_types, results)


@irdl_op_definition
class WhileOp(StableHLOOp):
    """Repeats `body` on the loop's values as long as `cond` holds of them."""

    name = "stablehlo.while"

    operands_ = var_operand_def()
    cond = region_def("single_block")
    body = region_def("single_block")
    results_ = var_result_def()

    traits = traits_def(RecursiveMemoryEffect())

    def __init__(self, operands: Sequence[Operand], cond: Region, body: Region):
        values = [operand if not isinstance(operand, Operation) else operand.results[0] for operand in operands]
        super().__init__(operands=[values], result_types=[[value.type for value in values]], regions=[cond, body])

    def verify_(self) -> None:
        types = [value.type for value in self.operands_]
        _verify_types("result", [value.type for value in self.results_], types)
        _verify_region("cond", self.cond, types, [TensorType(i1, ())])
        _verify_region("body", self.body, types, types)


@irdl_op_definition
class IfOp(StableHLOOp):
    """Runs one of two branches."""

    name = "stablehlo.if"

    pred = operand_def(AnyTensor)
    true_branch = region_def("single_block")
    false_branch = region_def("single_block")
    results_ = var_result_def()

    traits = traits_def(RecursiveMemoryEffect())

    def verify_(self) -> None:
        check_type("pred", self.pred.type, TensorType(i1, ()))
        types = [value.type for value in self.results_]
        _verify_region("true_branch", self.true_branch, (), types)
        _verify_region("false_branch", self.false_branch, (), types)


@irdl_op_definition
class CaseOp(StableHLOOp):
    """Runs the branch with a given index, or the last one if there is none."""

    name = "stablehlo.case"

    index = operand_def(AnyTensor)
    branches = var_region_def("single_block")
    results_ = var_result_def()

    traits = traits_def(RecursiveMemoryEffect())

    def verify_(self) -> None:
        check_type("index", self.index.type, TensorType(i32, ()))
        if not self.branches:
            raise VerifyException("expected at least 1 branch, but got 0")
        types = [value.type for value in self.results_]
        for i, branch in enumerate(self.branches):
            _verify_region(f"branch {i}", branch, (), types)


@irdl_op_definition
class OptimizationBarrierOp(StableHLOOp):
    """Its operands, which no pass may move computations across."""

    name = "stablehlo.optimization_barrier"

    operands_ = var_operand_def()
    results_ = var_result_def()

    traits = traits_def(Pure())

    def verify_(self) -> None:
        _verify_types(
            "result",
            [value.type for value in self.results_],
            [value.type for value in self.operands_],
        )


_COMPOSITE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*([.][a-zA-Z0-9_$]+)+")


class _DecompositionIsAFunction(SymbolUserOpInterface):
    """The decomposition of a composite is a function of the composite's types."""

    def verify(self, op: Operation) -> None:
        assert isinstance(op, CompositeOp)
        function = SymbolTable.lookup_symbol(op, op.decomposition)
        if not isinstance(function, FuncOp):
            found = "no symbol of that name" if function is None else function.name
            raise VerifyException(f"decomposition {op.decomposition} must be a function, but got {found}")
        type = function.function_type
        _verify_types("input", op.inputs.types, type.inputs.data)
        _verify_types("result", op.results_.types, type.outputs.data)


@irdl_op_definition
class CompositeOp(StableHLOOp):
    """A named computation, whose meaning is the function `decomposition`; `composite_attributes` are for readers."""

    name = "stablehlo.composite"

    inputs = var_operand_def()
    composite_name = prop_def(StringAttr, prop_name="name")
    composite_attributes = opt_prop_def(DictionaryAttr)
    decomposition = prop_def(FlatSymbolRefAttr)
    version = opt_prop_def(IntegerAttr[I32])
    composite_regions = var_region_def()
    results_ = var_result_def()

    traits = traits_def(_DecompositionIsAFunction())

    def verify_(self) -> None:
        if not _COMPOSITE_NAME.fullmatch(self.composite_name.data):
            raise VerifyException(f'name "{self.composite_name.data}" must have a namespace: "my.attention"')


@irdl_op_definition
class CustomCallOp(StableHLOOp):
    """A call of something that only the exporter's runtime knows."""

    name = "stablehlo.custom_call"

    inputs = var_operand_def()
    call_target_name = prop_def(StringAttr)
    has_side_effect = opt_prop_def(BoolAttr)
    backend_config = opt_prop_def(Attribute)
    api_version = opt_prop_def(IntegerAttr)
    called_computations = opt_prop_def(ArrayAttr)
    operand_layouts = opt_prop_def(ArrayAttr)
    result_layouts = opt_prop_def(ArrayAttr)
    output_operand_aliases = opt_prop_def(ArrayAttr)
    results_ = var_result_def()


CONTROL_FLOW_OPS = [
    CaseOp,
    CompositeOp,
    CustomCallOp,
    IfOp,
    OptimizationBarrierOp,
    ReturnOp,
    WhileOp,
]
