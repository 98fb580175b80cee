"""StableHLO's ops that combine elements with a computation in a region.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    BoolAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    TensorType,
    i1,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    SameVariadicOperandSize,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import RecursiveMemoryEffect
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Operand,
    StableHLOOp,
    check_count,
    check_dimensions,
    check_element_type,
    check_shape,
    check_type,
    dense_i64,
    i64_values,
    type_of,
)
from flashlower.dialects.stablehlo.binary import (
    AddOp,
    AndOp,
    BinaryElementwiseOp,
    MaxOp,
    MinOp,
    MulOp,
    OrOp,
)
from flashlower.dialects.stablehlo.control_flow import ReturnOp

ReductionKind: TypeAlias = Literal["add", "multiply", "maximum", "minimum", "and", "or"]

_KINDS: dict[ReductionKind, type[BinaryElementwiseOp]] = {
    "add": AddOp,
    "multiply": MulOp,
    "maximum": MaxOp,
    "minimum": MinOp,
    "and": AndOp,
    "or": OrOp,
}


def reduction_kind(body: Region) -> ReductionKind | None:
    """Which binary op a region of two arguments consists of, or None if it is anything else."""
    block = body.blocks.first
    if block is None or len(block.args) != 2 or len(ops := list(block.ops)) != 2:
        return None
    combine, terminator = ops
    if not isinstance(terminator, ReturnOp) or tuple(terminator.operands) != tuple(combine.results):
        return None
    # Every kind is commutative.
    if set(combine.operands) != set(block.args):
        return None
    return next((kind for kind, op in _KINDS.items() if type(combine) is op), None)


def reduction_body(kind: ReductionKind, element_type: Attribute) -> Region:
    """A region that combines two scalars of an element type with one op."""
    scalar = TensorType(element_type, ())
    block = Block(arg_types=[scalar, scalar])
    combine = _KINDS[kind](block.args[0], block.args[1])
    block.add_ops([combine, ReturnOp([combine.result])])
    return Region(block)


def replacement_body(element_type: Attribute) -> Region:
    """The region of a scatter that replaces: of two scalars, the old element and the new one, it takes the new one."""
    scalar = TensorType(element_type, ())
    block = Block(arg_types=[scalar, scalar])
    block.add_op(ReturnOp([block.args[1]]))
    return Region(block)


def _verify_scalar_body(body: Region, results: Sequence[SSAValue]) -> None:
    """A body takes two scalars for each of the op's results, and returns one for each."""
    block = body.block
    check_count("arguments of the body", len(block.args), 2 * len(results))
    for i, arg in enumerate(block.args):
        check_shape(f"argument {i} of the body", type_of(arg).get_shape(), ())
    terminator = _terminator(block)
    check_count("results of the body", len(terminator.operands), len(results))
    for i, (value, result) in enumerate(zip(terminator.operands, results, strict=True)):
        check_type(f"result {i} of the body", value.type, TensorType(type_of(result).element_type, ()))


def _terminator(block: Block) -> Operation:
    if not isinstance(block.last_op, ReturnOp):
        found = "nothing" if block.last_op is None else block.last_op.name
        raise VerifyException(f"expected the body to end in {ReturnOp.name}, but got {found}")
    return block.last_op


def _verify_init_values(inputs: Sequence[SSAValue], init_values: Sequence[SSAValue]) -> None:
    if not inputs:
        raise VerifyException("expected at least 1 input, but got 0")
    check_count("init values", len(init_values), len(inputs))
    for i, (value, init) in enumerate(zip(inputs, init_values, strict=True)):
        check_shape(f"input {i}", type_of(value).get_shape(), type_of(inputs[0]).get_shape())
        check_shape(f"init value {i}", type_of(init).get_shape(), ())
        check_element_type(f"init value {i}", type_of(init).element_type, type_of(value).element_type)


@irdl_op_definition
class ReduceOp(StableHLOOp):
    """Tensors folded over some dimensions with the computation in `body`, starting from `init_values`."""

    name = "stablehlo.reduce"

    inputs = var_operand_def(AnyTensor)
    init_values = var_operand_def(AnyTensor)
    dimensions = prop_def(DenseArrayBase)
    body = region_def("single_block")
    results_ = var_result_def(AnyTensor)

    irdl_options = (SameVariadicOperandSize(),)
    traits = traits_def(RecursiveMemoryEffect())

    def __init__(self, operand: Operand, init_value: Operand, dimensions: Sequence[int], kind: ReductionKind):
        """A reduction of one tensor with one op, named as in `stablehlo.<kind>`."""
        source = type_of(operand)
        super().__init__(
            operands=[[operand], [init_value]],
            result_types=[[TensorType(source.element_type, _reduced_shape(source.get_shape(), dimensions))]],
            properties={"dimensions": dense_i64(dimensions)},
            regions=[reduction_body(kind, source.element_type)],
        )

    @property
    def kind(self) -> ReductionKind | None:
        """The op that the body consists of (`add`, `maximum`, ...), or None if it is anything else."""
        return reduction_kind(self.body)

    def verify_(self) -> None:
        _verify_init_values(self.inputs, self.init_values)
        check_count("results", len(self.results_), len(self.inputs))
        shape = type_of(self.inputs[0]).get_shape()
        dimensions = i64_values(self.dimensions)
        check_dimensions("dimension", dimensions, len(shape))
        for i, result in enumerate(self.results_):
            check_shape(f"result {i}", type_of(result).get_shape(), _reduced_shape(shape, dimensions))
        _verify_scalar_body(self.body, self.results_)


def _reduced_shape(shape: Sequence[int], dimensions: Sequence[int]) -> list[int]:
    return [size for dim, size in enumerate(shape) if dim not in dimensions]


class Window(NamedTuple):
    """How windows slide over one dimension."""

    size: int
    stride: int
    base_dilation: int
    dilation: int
    low: int
    high: int

    def count(self, size: int) -> int:
        """How many windows fit into a dimension of a size, padding included."""
        if size == DYNAMIC_INDEX:
            return DYNAMIC_INDEX
        padded = self.low + (max(size - 1, 0) * self.base_dilation + min(size, 1)) + self.high
        reach = (self.size - 1) * self.dilation + 1
        return 0 if padded < reach else (padded - reach) // self.stride + 1


@irdl_op_definition
class ReduceWindowOp(StableHLOOp):
    """Tensors folded over windows that slide over them, padded with `init_values`.

    `base_dilations` spreads the elements, `window_dilations` the places that a window reads.
    """

    name = "stablehlo.reduce_window"

    inputs = var_operand_def(AnyTensor)
    init_values = var_operand_def(AnyTensor)
    window_dimensions = prop_def(DenseArrayBase)
    window_strides = opt_prop_def(DenseArrayBase)
    base_dilations = opt_prop_def(DenseArrayBase)
    window_dilations = opt_prop_def(DenseArrayBase)
    padding = opt_prop_def(DenseIntOrFPElementsAttr)
    body = region_def("single_block")
    results_ = var_result_def(AnyTensor)

    irdl_options = (SameVariadicOperandSize(),)
    traits = traits_def(RecursiveMemoryEffect())

    @property
    def window(self) -> tuple[Window, ...]:
        """The window's parameters in each dimension, with their defaults filled in."""
        sizes = i64_values(self.window_dimensions)
        ones = (1,) * len(sizes)

        def values(attr: DenseArrayBase | None) -> Sequence[int]:
            return ones if attr is None else i64_values(attr)

        flat = (0,) * (2 * len(sizes)) if self.padding is None else self.padding.get_values()
        return tuple(
            Window(*parameters)
            for parameters in zip(
                sizes,
                values(self.window_strides),
                values(self.base_dilations),
                values(self.window_dilations),
                flat[::2],
                flat[1::2],
                strict=True,
            )
        )

    def verify_(self) -> None:
        _verify_init_values(self.inputs, self.init_values)
        check_count("results", len(self.results_), len(self.inputs))
        shape = type_of(self.inputs[0]).get_shape()
        for what, attr in (
            ("window_dimensions", self.window_dimensions),
            ("window_strides", self.window_strides),
            ("base_dilations", self.base_dilations),
            ("window_dilations", self.window_dilations),
        ):
            if attr is not None:
                check_count(f"values of {what}", len(attr), len(shape))
                if any(value < 1 for value in i64_values(attr)):
                    raise VerifyException(f"{what} must be at least 1, but got {list(i64_values(attr))}")
        if self.padding is not None:
            check_shape("padding", self.padding.get_shape(), (len(shape), 2))
        expected = [window.count(size) for window, size in zip(self.window, shape, strict=True)]
        for i, result in enumerate(self.results_):
            check_shape(f"result {i}", type_of(result).get_shape(), expected)
        _verify_scalar_body(self.body, self.results_)


@irdl_op_definition
class SortOp(StableHLOOp):
    """Tensors sorted together in one dimension, in the order that `comparator` defines."""

    name = "stablehlo.sort"

    inputs = var_operand_def(AnyTensor)
    dimension = opt_prop_def(IntegerAttr)
    is_stable = opt_prop_def(BoolAttr)
    comparator = region_def("single_block")
    results_ = var_result_def(AnyTensor)

    traits = traits_def(RecursiveMemoryEffect())

    def verify_(self) -> None:
        check_count("results", len(self.results_), len(self.inputs))
        for i, (value, result) in enumerate(zip(self.inputs, self.results_, strict=True)):
            check_shape(f"input {i}", type_of(value).get_shape(), type_of(self.inputs[0]).get_shape())
            check_type(f"result {i}", result.type, value.type)
        check_count("arguments of the comparator", len(self.comparator.block.args), 2 * len(self.inputs))
        terminator = _terminator(self.comparator.block)
        check_count("results of the comparator", len(terminator.operands), 1)
        check_type("result of the comparator", terminator.operands[0].type, TensorType(i1, ()))


REDUCTION_OPS = [ReduceOp, ReduceWindowOp, SortOp]
