"""Score regions as tensor operations: every scalar becomes a tensor over the axes that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, FloatAttr, IndexType, IntegerAttr, TensorType, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import AttentionOp, YieldOp
from flashlower.dialects.attention.score import score_arg_names
from flashlower.rewrites.decompose.axes import Named, TensorBuilder
from flashlower.rewrites.decompose.scalars import scalar_to_tensors


class ScoreTensors:
    """
    The score region of one operation on whole tensors.

    Indices are iotas in i64. A captured tensor that is indexed by the region's indices and by constants is
    transposed and broadcast, by anything else gathered; gathers clamp indices that are out of range. Scalars from
    outside must come from constants and from operations that a region may hold.

    Raises `DiagnosticException` for an operation without a form in StableHLO.
    """

    def __init__(self, builder: TensorBuilder, op: AttentionOp, logits: Named):
        self.builder = builder
        self.op = op
        self.values: dict[SSAValue, Named] = {}
        self.index_axes: dict[SSAValue, tuple[str, ...]] = {}
        names = score_arg_names(op.batch_rank)
        for name, arg in zip(names, op.score.block.args):
            if name == "s":
                self.values[arg] = logits
            elif name == "hq":
                self.index_axes[arg] = ("h", "g")
            elif name == "n" and builder.keys_are_split:
                self.index_axes[arg] = ("split", "n")
            else:
                self.index_axes[arg] = (name,)

    def run(self) -> Named:
        """The new logits."""
        for op in self.op.score.block.ops:
            if isinstance(op, YieldOp):
                return self.get(op.value)
            self._convert(op)
        raise DiagnosticException(f"{self.op.name}: the score region does not end with attention.yield")

    def get(self, value: SSAValue) -> Named:
        """The tensor of a scalar of the region, or of one from outside."""
        if (known := self.values.get(value)) is not None:
            return known
        if (axes := self.index_axes.get(value)) is not None:
            return self.builder.iota(*axes)
        if not isinstance(value.owner, Operation):
            raise DiagnosticException(
                f"decompose-attention: the score region of {self.op.name} captures a scalar of type {value.type} that "
                "is an argument; pass it as a tensor and read it with tensor.extract"
            )
        self._convert(value.owner)
        return self.values[value]

    def _convert(self, op: Operation) -> None:
        match op:
            case arith.ConstantOp(value=IntegerAttr() | FloatAttr() as literal):
                element_type = i64 if isinstance(op.result.type, IndexType) else op.result.type
                result = self.builder.constant(literal.value.data, element_type)
            case tensor.ExtractOp():
                result = self._extract(op)
            case tensor.DimOp():
                result = self._dim(op)
            case _:
                result = scalar_to_tensors(self.builder, op, [self.get(operand) for operand in op.operands])
        result.value.name_hint = result.value.name_hint or op.results[0].name_hint
        self.values[op.results[0]] = result

    def _dim(self, op: tensor.DimOp) -> Named:
        index = _constant(op.index)
        shape = cast(TensorType[Attribute], op.source.type).get_shape()
        if index is None or not 0 <= index < len(shape) or shape[index] == DYNAMIC_INDEX:
            raise DiagnosticException("decompose-attention: tensor.dim of a dynamic size in a score region")
        return self.builder.constant(shape[index], i64)

    def _extract(self, op: tensor.ExtractOp) -> Named:
        source = op.tensor
        type = cast(TensorType[Attribute], source.type)
        if not type.has_static_shape():
            raise DiagnosticException(
                f"decompose-attention: a score region reads a tensor of dynamic shape {type}; only static ones have "
                "a form in plain StableHLO"
            )
        return self._view(source, op.indices) or self._gather(source, op.indices)

    def _view(self, source: SSAValue, indices: Sequence[SSAValue]) -> Named | None:
        """A read by distinct region indices and constants: slices and reshapes."""
        builder = self.builder
        shape = cast(TensorType[Attribute], source.type).get_shape()
        starts: list[int] = []
        limits: list[int] = []
        axes: list[str] = []
        for size, index in zip(shape, indices):
            names = self.index_axes.get(index)
            if names is None:
                constant = _constant(index)
                if constant is None or not 0 <= constant < size:
                    return None
                starts.append(constant)
                limits.append(constant + 1)
                continue
            covered = 1
            for name in names:
                covered *= builder.sizes[name]
            if covered > size or set(names) & set(axes):
                return None
            starts.append(0)
            limits.append(covered)
            axes += names
        value = source
        if limits != list(shape) or any(starts):
            value = builder.emit(stablehlo.SliceOp(value, starts, limits), source.name_hint)
        return Named(builder.reshape(value, builder.shape(axes)), tuple(axes))

    def _gather(self, source: SSAValue, indices: Sequence[SSAValue]) -> Named:
        builder = self.builder
        rank = len(indices)
        aligned = builder.align(*(builder.convert(self.get(index), i64) for index in indices))
        axes = aligned[0].axes
        shape = builder.shape(axes)
        columns = [builder.reshape(x.value, [*shape, 1]) for x in aligned]
        starts = columns[0] if rank == 1 else builder.emit(stablehlo.ConcatenateOp(columns, len(shape)), "indices")
        numbers = stablehlo.GatherDimensionNumbersAttr.get(
            collapsed_slice_dims=range(rank), start_index_map=range(rank), index_vector_dim=len(shape)
        )
        gather = stablehlo.GatherOp(source, starts, numbers, [1] * rank)
        return Named(builder.emit(gather), axes)


def _constant(value: SSAValue) -> int | None:
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as literal):
            return literal.value.data
        case _:
            return None
