"""The parameters of a kernel, and what the host passes for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import AffineMapAttr, DenseArrayBase, IndexType, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects.attention.layout import INNER_DIMS, index_names, layout_terms, used_indices
from flashlower.dialects.tl import JitOp, PtrType
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.host import Host, TensorOf


@dataclass(frozen=True)
class Parameter:
    """A parameter: its type, and what builds the argument on the host."""

    type: Attribute
    argument: Callable[[], SSAValue]
    constant: bool = False
    """Whether the kernel is compiled for its value."""


@dataclass
class Access:
    """A tensor in a kernel: the names of its pointer and of its strides, by iteration dimension or by position."""

    pointer: str
    strides: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    dims: frozenset[str] = frozenset()
    """All that the layout uses, sizes of 1 included."""
    groups: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    """Dimensions in which so many neighbours share an element: what multiplies the stride is an index of elements."""

    @property
    def name(self) -> str:
        """The name of the tensor."""
        return self.pointer.removesuffix("_ptr")

    def offset(self, b: KernelBuilder, indices: Mapping[str, SSAValue]) -> SSAValue | None:
        """The sum of index times stride over the dimensions in `indices` that the tensor has; indices are i64."""
        total: SSAValue | None = None
        for dim, index in indices.items():
            if dim in self.strides:
                term = b.mul(index, b.arg(self.strides[dim]))
                total = term if total is None else b.add(total, term)
        return total

    def move(self, b: KernelBuilder, pointer: SSAValue, indices: Mapping[str, SSAValue]) -> SSAValue:
        """The pointer moved by index times stride for every dimension in `indices` that the tensor has."""
        for dim, index in indices.items():
            if dim in self.strides:
                pointer = b.add(pointer, b.mul(index, b.arg(self.strides[dim])))
        return pointer

    def base(self, b: KernelBuilder, indices: Mapping[str, SSAValue]) -> SSAValue:
        """The pointer to what one program has of the tensor, by its indices in i64."""
        pointer = self.move(b, b.arg(self.pointer), indices)
        if pointer.name_hint is None:
            pointer.name_hint = f"{self.name}_base"
        return pointer


STRIDE_PREFIXES = {"out": "o", "lse": "l", "partial": "p", "out_lse": "ol"}
"""What strides of tensors with long names are called after."""


class Parameters:
    """
    Collects what a kernel may need, before it is built; what it did not use is dropped after.

    Pointers come first, then strides, then sizes and other scalars, each in the order of their registration. What
    has a fixed name is registered before captured values, whose names are anyone's and make way.
    """

    def __init__(self, host: Host):
        self._host = host
        self._pointers: dict[str, Parameter] = {}
        self._strides: dict[str, Parameter] = {}
        self._scalars: dict[str, Parameter] = {}

    def types(self) -> dict[str, Attribute]:
        """Names and types, in order."""
        return {name: p.type for name, p in self._all().items()}

    def _all(self) -> dict[str, Parameter]:
        return self._pointers | self._strides | self._scalars

    def _unique(self, name: str, suffix: str = "") -> str:
        """The name, with a number if it is taken with this suffix."""
        taken = self._all()
        candidate, number = name, 1
        while candidate + suffix in taken:
            candidate, number = f"{name}{number}", number + 1
        return candidate

    def pointer(self, name: str, value: SSAValue) -> str:
        """Registers the pointer of a tensor."""
        assert isa(value.type, TensorOf)
        self._pointers[name] = Parameter(PtrType(value.type.element_type), lambda: value)
        return name

    def scalar(self, name: str, type: Attribute, argument: Callable[[], SSAValue]) -> str:
        """Registers a number."""
        self._scalars[name] = Parameter(type, argument)
        return name

    def tensor(self, name: str, value: SSAValue, layout: AffineMapAttr, sizes: Mapping[str, int]) -> Access:
        """Registers a tensor with a layout: its pointer, and a stride per dimension or index of size above 1."""
        access = Access(self.pointer(f"{name}_ptr", value), dims=frozenset(used_indices(layout.data)))
        names = index_names(layout.data.num_dims - len(INNER_DIMS))
        used = {term.dim: term for terms in layout_terms(layout.data) for term in terms}
        for dim, term in sorted(used.items()):
            if term.divisor != sizes[names[dim]]:
                stride = stride_name(name, names[dim])
                self._strides[stride] = Parameter(i64, lambda dim=dim: self._host.stride(value, layout, dim))
                access.strides[names[dim]] = stride
                if term.divisor != 1:
                    access.groups[names[dim]] = term.divisor
        return access

    def dense(self, name: str, value: SSAValue, dims: Sequence[str]) -> Access:
        """Registers a tensor with one iteration dimension, or any other name, for each of its own."""
        assert isa(value.type, TensorOf)
        access = Access(self.pointer(f"{name}_ptr", value))
        for position, (dim, size) in enumerate(zip(dims, value.type.get_shape(), strict=True)):
            if size != 1:
                stride = self._unique(stride_name(name, dim))
                self._strides[stride] = Parameter(i64, lambda p=position: self._host.tensor_stride(value, p))
                access.strides[dim] = stride
        return access

    def capture(self, value: SSAValue) -> Access:
        """Registers a captured tensor under a name like its own; strides are by the position of the dimension."""
        assert isa(value.type, TensorOf)
        name = self._unique(capture_name(value), "_ptr")
        return self.dense(name, value, [str(position) for position in range(value.type.get_num_dims())])

    def capture_size(self, access: Access, value: SSAValue, position: int) -> str:
        """Registers a size of a captured tensor."""
        name = self._unique(f"size_{access.name}{position}")
        return self.scalar(name, i64, lambda: self._host.tensor_size(value, position))

    def capture_scalar(self, value: SSAValue) -> str:
        """Registers a captured number."""
        type = i64 if isinstance(value.type, IndexType) else value.type
        return self.scalar(self._unique(capture_name(value)), type, lambda: value)

    def make_constant(self, access: Access, dims: Sequence[str]) -> None:
        """Has the kernel compiled for the strides of a tensor along those of the dimensions that it has."""
        for dim in dims:
            if (name := access.strides.get(dim)) is not None:
                self._strides[name] = replace(self._strides[name], constant=True)

    def pass_used(self, kernel: JitOp) -> list[SSAValue]:
        """Drops unused parameters from a finished kernel, and builds the arguments for the others."""
        arguments: list[SSAValue] = []
        constants: list[int] = []
        for parameter, argument in zip(self._all().values(), tuple(kernel.body.block.args), strict=True):
            if argument.uses:
                if parameter.constant:
                    constants.append(len(arguments))
                arguments.append(parameter.argument())
            else:
                kernel.body.block.erase_arg(argument)
        if constants:
            kernel.constexprs = DenseArrayBase.from_list(i64, constants)
        return arguments


def stride_name(tensor: str, dim: str) -> str:
    """`stride_qb`, `stride_kv_lens_b`; names end in no underscore and number, which printers of IR drop."""
    prefix = STRIDE_PREFIXES.get(tensor, tensor)
    return f"stride_{prefix}{'' if len(prefix) <= 2 or dim.isdecimal() else '_'}{dim}"


def capture_name(value: SSAValue) -> str:
    """A name for a captured value: its own, if it has one."""
    return value.name_hint or "captured"
