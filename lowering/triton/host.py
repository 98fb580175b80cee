"""The host side of a kernel: sizes and strides over the iteration space of attention, checks and buffers.

Everything is built in the function that held the attention operation, right where it stood: integer arithmetic is
`arith` on `index`, what a tensor knows of itself is `launch.size` and `launch.stride`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, IntegerAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention.layout import INNER_DIMS, index_names, layout_terms
from flashlower.dialects.launch import EmptyOp, RequireOp, SizeOp, StrideOp

TensorOf = TensorType[Attribute]


@dataclass(frozen=True)
class Digit:
    """
    The leading digit of one index of a layout: a dimension, and how many elements one step along it is.

    One element may stand for `divisor` neighbours in the dimension, or the digit counts up to `modulus` only.
    """

    dim: str
    stride: int
    divisor: int = 1
    modulus: int | None = None


def leading_digits(layout: AffineMapAttr) -> list[Digit | None]:
    """The leading digit of every index of a layout, None for the constant 0."""
    names = index_names(layout.data.num_dims - len(INNER_DIMS))
    leading = [terms[0] if terms else None for terms in layout_terms(layout.data)]
    return [term and Digit(names[term.dim], term.stride, term.divisor, term.modulus) for term in leading]


class Host:
    """
    Builds host code for one attention operation; `insert` puts an operation before it.

    Constants and sizes are built once. Sizes of iteration dimensions are static, or come from the first
    operand that has them.
    """

    def __init__(self, insert: Callable[[Operation], object], sizes: dict[str, int]):
        self.sizes = sizes
        self.insert = insert
        self._constants: dict[int, SSAValue] = {}
        self._sizes: dict[str, SSAValue] = {}

    def add(self, op: Operation) -> SSAValue:
        """Inserts an operation and gives its first result."""
        self.insert(op)
        return op.results[0]

    def constant(self, value: int) -> SSAValue:
        """`value : index`."""
        if value not in self._constants:
            self._constants[value] = self.add(arith.ConstantOp(IntegerAttr.from_index_int_value(value)))
        return self._constants[value]

    def multiply(self, lhs: SSAValue, rhs: SSAValue | int) -> SSAValue:
        """lhs * rhs; a factor 1 disappears, and two constants fold."""
        left, right = constant_index(lhs), rhs if isinstance(rhs, int) else constant_index(rhs)
        if left is not None and right is not None:
            return self.constant(left * right)
        if right == 1:
            return lhs
        factor = self.constant(rhs) if isinstance(rhs, int) else rhs
        return factor if left == 1 else self.add(arith.MuliOp(lhs, factor))

    def product(self, dims: Sequence[str]) -> SSAValue:
        """The product of the sizes of some dimensions."""
        result = self.constant(1)
        for dim in dims:
            result = self.multiply(result, self.size(dim))
        return result

    def ceil_divide(self, lhs: SSAValue, divisor: int) -> SSAValue:
        """lhs / divisor, rounded up."""
        if (value := constant_index(lhs)) is not None:
            return self.constant(-(-value // divisor))
        return self.add(arith.CeilDivSIOp(lhs, self.constant(divisor)))

    def size(self, dim: str) -> SSAValue:
        """
        The size of an iteration dimension.

        Raises `DiagnosticException` for a dynamic dimension that no operand has.
        """
        if (static := self.sizes[dim]) != DYNAMIC_INDEX:
            return self.constant(static)
        if dim not in self._sizes:
            raise DiagnosticException(
                f"the size of dimension {dim} is dynamic and no operand has it: give the result a static size"
            )
        return self._sizes[dim]

    def read_sizes(self, name: str, value: SSAValue, digits: Sequence[Digit | None]) -> None:
        """Takes sizes from the dynamic dimensions of an operand, and checks at launch those that are known already."""
        for position, (size, digit) in enumerate(zip(cast(TensorOf, value.type).get_shape(), digits, strict=True)):
            if size != DYNAMIC_INDEX:
                continue
            found = self.tensor_size(value, position)
            what = f"dimension {position} of {name}"
            if digit is None:
                self.add_check(found, self.constant(1), f"{what} must be 1")
            elif digit.modulus is not None:
                expected = self.constant(digit.modulus * digit.stride)
                self.add_check(found, expected, f"{what} must be {digit.modulus * digit.stride}")
            elif digit.divisor != 1:
                self._read_groups(found, digit, what)
            elif self.sizes[digit.dim] != DYNAMIC_INDEX or digit.dim in self._sizes:
                expected = self.multiply(self.size(digit.dim), digit.stride)
                times = f" times {digit.stride}" if digit.stride > 1 else ""
                self.add_check(found, expected, f"{what} must be the size of {digit.dim}{times}")
            elif digit.stride == 1:
                self._sizes[digit.dim] = found
            else:
                self._sizes[digit.dim] = self.add(arith.FloorDivSIOp(found, self.constant(digit.stride)))
                whole = self.multiply(self._sizes[digit.dim], digit.stride)
                self.add_check(found, whole, f"{what} must be a multiple of {digit.stride}")

    def _read_groups(self, found: SSAValue, digit: Digit, what: str) -> None:
        """Takes a size from the number of groups of neighbours, or checks that this is as many as the size has."""
        groups = found
        if digit.stride != 1:
            groups = self.add(arith.FloorDivSIOp(found, self.constant(digit.stride)))
            whole = self.multiply(groups, digit.stride)
            self.add_check(found, whole, f"{what} must be a multiple of {digit.stride}")
        elements = self.multiply(groups, digit.divisor)
        if self.sizes[digit.dim] != DYNAMIC_INDEX or digit.dim in self._sizes:
            self.add_check(elements, self.size(digit.dim), f"{what}, {digit.divisor} to one, must cover {digit.dim}")
        else:
            self._sizes[digit.dim] = elements

    def count_pages(self) -> None:
        """Takes the number of keys from a dynamic number of pages, or checks it where it is known already."""
        if self.sizes.get("p") != DYNAMIC_INDEX:
            return
        found = self.multiply(self.size("p"), self.sizes["slot"])
        if self.sizes["n"] != DYNAMIC_INDEX or "n" in self._sizes:
            self.add_check(found, self.size("n"), "pages of block_table times their size must be the size of n")
        else:
            self._sizes["n"] = found

    def add_check(self, found: SSAValue, expected: SSAValue, message: str) -> None:
        """Raises ValueError at launch where the two differ."""
        self.insert(RequireOp(found, expected, message))

    def tensor_size(self, value: SSAValue, position: int) -> SSAValue:
        """The size of one dimension of a tensor."""
        static = cast(TensorOf, value.type).get_shape()[position]
        return self.constant(static) if static != DYNAMIC_INDEX else self.add(SizeOp(value, position))

    def tensor_stride(self, value: SSAValue, position: int) -> SSAValue:
        """The stride of one dimension of a tensor."""
        return self.add(StrideOp(value, position))

    def stride(self, value: SSAValue, layout: AffineMapAttr, dim: int) -> SSAValue:
        """The distance in a tensor between neighbours along one iteration dimension (by its position)."""
        total: SSAValue | None = None
        for position, terms in enumerate(layout_terms(layout.data)):
            for term in terms:
                if term.dim == dim:
                    digit = self.multiply(self.tensor_stride(value, position), term.stride)
                    total = digit if total is None else self.add(arith.AddiOp(total, digit))
        if total is None:
            raise ValueError(f"dimension {dim} is not in the layout {layout}")
        return total

    def empty(self, name: str, result: SSAValue, digits: Sequence[Digit | None]) -> SSAValue:
        """A buffer for a result; a static dimension of it that operands have dynamic is checked at launch."""
        tensor_type = cast(TensorOf, result.type)
        dynamic: list[SSAValue] = []
        for position, (size, digit) in enumerate(zip(tensor_type.get_shape(), digits, strict=True)):
            if size != DYNAMIC_INDEX and (digit is None or self.sizes[digit.dim] != DYNAMIC_INDEX):
                continue
            found = self.constant(1)
            if digit is not None:
                found = self.multiply(self.size(digit.dim), digit.stride)
            if size == DYNAMIC_INDEX:
                dynamic.append(found)
            else:
                self.add_check(found, self.constant(size), f"dimension {position} of {name} is {size} by its type")
        buffer = self.add(EmptyOp(dynamic, tensor_type))
        buffer.name_hint = result.name_hint or name
        return buffer


def constant_index(value: SSAValue) -> int | None:
    """The number that a value is known to be."""
    op = value.owner
    return op.value.value.data if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr) else None
