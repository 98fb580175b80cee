"""Bounds of keys as tensor operations, for the block of all queries."""

from __future__ import annotations

from functools import partial

from xdsl.dialects.builtin import TensorType, i64
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineSymExpr
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import stablehlo
from flashlower.dialects.attention import AttentionOp, KeyIntervalAttr
from flashlower.dialects.attention.bounds import as_sum
from flashlower.rewrites.decompose.axes import Named, TensorBuilder
from flashlower.rewrites.decompose.scalars import rounded_division


class BlockBounds:
    """
    The bounds of intervals for all queries of an operation, in i64.

    Raises `DiagnosticException` where they read scalars that are no tensors.
    """

    def __init__(self, builder: TensorBuilder, op: AttentionOp):
        self._builder = builder
        self._op = op
        self._maximum = partial(builder.elementwise, stablehlo.MaxOp)
        self._minimum = partial(builder.elementwise, stablehlo.MinOp)

    def lower(self, interval: KeyIntervalAttr) -> Named | None:
        """The first key, None where there is no bound."""
        return interval.evaluate_lower(self._number, self._maximum, self._minimum)

    def upper(self, interval: KeyIntervalAttr) -> Named | None:
        """The key after the last one, None where there is no bound."""
        return interval.evaluate_upper(self._number, self._maximum, self._minimum)

    def _number(self, expr: AffineExpr) -> Named:
        builder, total = self._builder, as_sum(expr)
        result = builder.constant(total.constant, i64)
        for term, factor in total.terms:
            product = builder.elementwise(stablehlo.MulOp, self._term(term), builder.constant(factor, i64))
            result = builder.elementwise(stablehlo.AddOp, result, product)
        return result

    def _term(self, term: AffineExpr) -> Named:
        builder = self._builder
        match term:
            case AffineDimExpr(position):
                return builder.constant((0, builder.sizes["m"])[position], i64)
            case AffineSymExpr(position):
                value, layout = self._op.bounds.scalars[position]
                if not isinstance(value.type, TensorType):
                    raise DiagnosticException(
                        f"decompose-attention: bounds of {self._op.name} read a scalar of type {value.type}; pass it "
                        "as a tensor"
                    )
                return builder.convert(builder.read(value, layout, f"s{position}"), i64)
            case AffineBinaryOpExpr(lhs=lhs, rhs=AffineConstantExpr(divisor)):
                return rounded_division(builder, self._number(lhs), builder.constant(divisor, i64), up=False)
            case _:
                raise ValueError(f"{term} is no term of a bound of keys")
