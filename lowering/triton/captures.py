"""What the score region and the bounds of an operation read from outside, as parameters of its kernel."""

from __future__ import annotations

from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.ir import SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.layout import dim_names, layout_terms
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.host import TensorOf
from flashlower.lowering.triton.parameters import Access, Parameters
from flashlower.lowering.triton.score import CapturedTensor, constant_of


class Captures:
    """Registers the parameters when it is made; builders of the kernel find values by them."""

    def __init__(self, op: AttentionOp, parameters: Parameters):
        self._tensors: dict[SSAValue, Access] = {}
        self._sizes: dict[tuple[SSAValue, int], str] = {}
        self._scalars: dict[SSAValue, str] = {}
        for value in op.captures():
            if isa(value.type, TensorOf):
                access = parameters.capture(value)
                self._tensors[value] = access
                for position, size in enumerate(value.type.get_shape()):
                    if size == DYNAMIC_INDEX:
                        self._sizes[value, position] = parameters.capture_size(access, value, position)
            elif constant_of(value) is None:
                self._scalars[value] = parameters.capture_scalar(value)
        self._bounds: list[Access | str] = []
        for value, layout in op.bounds.scalars:
            if isa(value.type, TensorOf):
                access = self._tensors.get(value) or parameters.capture(value)
                names = dim_names(op.batch_rank)
                strides = {
                    names[terms[0].dim]: access.strides[str(position)]
                    for position, terms in enumerate(layout_terms(layout.data))
                    if terms and str(position) in access.strides
                }
                self._bounds.append(Access(access.pointer, strides))
            else:
                self._bounds.append(self._scalars.get(value) or parameters.capture_scalar(value))

    def tensors(self, b: KernelBuilder) -> dict[SSAValue, CapturedTensor]:
        """The tensors that the score region reads."""
        return {value: self._tensor(b, value, access) for value, access in self._tensors.items()}

    def _tensor(self, b: KernelBuilder, value: SSAValue, access: Access) -> CapturedTensor:
        assert isa(value.type, TensorOf)
        shape = value.type.get_shape()
        strides = (access.strides.get(str(position)) for position in range(len(shape)))
        return CapturedTensor(
            access.name,
            b.arg(access.pointer),
            tuple(None if stride is None else b.arg(stride) for stride in strides),
            tuple(
                b.arg(self._sizes[value, position]) if size == DYNAMIC_INDEX else size
                for position, size in enumerate(shape)
            ),
        )

    def scalars(self, b: KernelBuilder) -> dict[SSAValue, SSAValue]:
        """The numbers that the score region reads."""
        return {value: b.arg(name) for value, name in self._scalars.items()}

    def bounds(self, b: KernelBuilder) -> list[Access | SSAValue]:
        """The scalars of bounds, in order: numbers, and tensors with one for a sequence."""
        return [b.arg(scalar) if isinstance(scalar, str) else scalar for scalar in self._bounds]

    def describe(self) -> list[str]:
        """A line for every tensor: `bias[4, ?]: f32`."""
        lines: list[str] = []
        for value, access in self._tensors.items():
            assert isa(value.type, TensorOf)
            shape = ", ".join("?" if size == DYNAMIC_INDEX else str(size) for size in value.type.get_shape())
            lines.append(f"{access.name}[{shape}]: {value.type.element_type}")
        return lines
