"""
Score regions on tiles: the scalar function of one logit becomes instructions on a whole tile of logits.

Integers that are affine in the indices stay formulas: comparing them is `affine_select`, reading a tensor at them is an
access pattern. Everything else is computed on the tiles of `grid`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from xdsl.dialects import arith, tensor
from xdsl.ir import Operation
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import YieldOp
from flashlower.dialects.attention.score import score_arg_names
from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.lowering.nki.builder import Sum
from flashlower.lowering.nki.grid import Index, Value
from flashlower.lowering.nki.score_captures import ScoreCaptures
from flashlower.lowering.nki.score_conditions import FLOAT_COMPARISONS, ScoreConditions
from flashlower.lowering.nki.score_values import BINARY, FUNCTIONS, Scalar, TensorOf, constant_of, is_bool


class ScoreLowering(ScoreConditions, ScoreCaptures):
    """Lowers the score region of one operation on one tile of logits."""

    def apply(self, logits: Value) -> Value:
        """The new logits; the tile of the old ones may be overwritten."""
        if not self._op.score.blocks:
            return logits
        block = self._op.score.block
        for argument, name in zip(block.args, score_arg_names(self._op.batch_rank), strict=True):
            self._values[argument] = self._grid.index(name)
        self._values[block.args[0]] = logits
        for captured in self._op.captures():
            if (constant := constant_of(captured)) is not None:
                self._values[captured] = self._constant(constant, captured.type)
            elif not isa(captured.type, TensorOf):
                raise DiagnosticException(
                    f"the score region of {self._op.name} reads a value of type {captured.type}; an NKI kernel takes "
                    "tensors: pass it as one"
                )
        for op in block.ops:
            for operand in op.operands:
                self._uses[operand] = self._uses.get(operand, 0) + 1
        for op in block.ops:
            if isinstance(op, YieldOp):
                break
            if op.results:
                self._values[op.results[0]] = self._emit(op)
            for operand in op.operands:
                self._uses[operand] -= 1
        result = self._values[cast(YieldOp, block.last_op).value]
        tile = self._as_operand(result)
        if not isinstance(tile, Value) or tile.axes != self._grid.everywhere:
            return self._e.copy(tile, self._grid.everywhere, "scores")
        return tile

    def _emit(self, op: Operation) -> Scalar:
        for value in (*op.results, *(v for v in op.operands if v not in self._tensors)):
            if isa(value.type, TensorOf):
                raise self._error(op, f"it computes on {value.type}")
        if (constant := constant_of(op.results[0])) is not None:
            return self._constant(constant, op.results[0].type)
        match op:
            case tensor.ExtractOp():
                return self._extract(op)
            case tensor.DimOp():
                return self._dim(op)
            case arith.SelectOp():
                return self._select(op)
            case arith.CmpiOp():
                return self._cmpi(op)
            case arith.CmpfOp():
                if (name := FLOAT_COMPARISONS.get(op.predicate.value.data)) is None:
                    raise self._error(op, "the Vector engine has no such comparison")
                return self._compare(name, *map(self._as_operand, self._operands(op)))
            case arith.AndIOp() | arith.OrIOp() | arith.XOrIOp():
                return self._logic(op)
            case arith.IndexCastOp() | arith.ExtSIOp() | arith.TruncIOp() | arith.ExtUIOp():
                return self._convert_integer(op)
            case arith.SIToFPOp() if is_bool(op.operands[0].type):
                # The one bit of a truth value is its sign.
                return self._binary("multiply", op.operands[0], -1.0)
            case arith.SIToFPOp() | arith.UIToFPOp():
                return self._as_operand(self._operands(op)[0])
            case arith.ExtFOp():
                return self._operands(op)[0]
            case arith.TruncFOp():
                return self._round(op)
            case arith.NegfOp():
                return self._binary("multiply", op.operands[0], -1.0)
            case arith.DivfOp():
                return self._divide(op)
            case arith.FloorDivSIOp() | arith.DivSIOp() | arith.DivUIOp() | arith.RemSIOp() | arith.RemUIOp():
                return self._divide_integers(op)
            case _:
                pass
        if (name := BINARY.get(type(op))) is not None:
            return self._arithmetic(op, name)
        if (function := FUNCTIONS.get(type(op))) is not None:
            value = self._as_operand(self._operands(op)[0])
            if not isinstance(value, Value):
                with np.errstate(all="ignore"):
                    return float(function.fold(float(np.float32(value))))
            return self._e.activation(function.name, value, scale=function.scale, into=self._reusable(op.operands[0]))
        raise self._error(op, "no instruction computes it")

    def _arithmetic(self, op: Operation, name: str) -> Scalar:
        lhs, rhs = self._operands(op)
        if isinstance(lhs, Index) and isinstance(rhs, Index):
            match name:
                case "add":
                    return lhs + rhs
                case "subtract":
                    return lhs + rhs * -1
                case "multiply" if rhs.constant is not None:
                    return lhs * rhs.constant
                case "multiply" if lhs.constant is not None:
                    return rhs * lhs.constant
                case _:
                    pass
        return self._binary(name, *op.operands)

    def _convert_integer(self, op: Operation) -> Scalar:
        (value,) = self._operands(op)
        if is_bool(op.operands[0].type) and isinstance(op, arith.ExtSIOp):
            tile = self._as_operand(value)
            return self._e.binary("multiply", tile, -1.0) if isinstance(tile, Value) else -tile
        if is_bool(op.results[0].type):
            raise self._error(op, "the engines compute in f32; only truth values have bits")
        if isinstance(value, bool):
            return Index(Sum(int(value)))
        return value

    def _round(self, op: Operation) -> Scalar:
        """A conversion to a narrower float rounds: through a tile of that type."""
        value = self._as_operand(self._operands(op)[0])
        if not isinstance(value, Value):
            return float(np.float64(value).astype(numpy_dtype(op.results[0].type)))
        narrow = self._e.new("narrow", value.axes, op.results[0].type)
        self._b.add(nki.TensorCopyOp(narrow.tile, value.tile))
        return self._e.copy(narrow, value.axes)

    def _divide(self, op: Operation) -> Scalar:
        lhs, rhs = map(self._as_operand, self._operands(op))
        if not isinstance(rhs, Value):
            with np.errstate(all="ignore"):
                if not isinstance(lhs, Value):
                    return float(np.divide(lhs, rhs))
                return self._binary("multiply", op.operands[0], float(np.divide(1.0, rhs)))
        inverse = self._e.new("inverse", rhs.axes)
        self._b.add(nki.ReciprocalOp(inverse.tile, rhs.tile))
        return self._e.binary("multiply", inverse, lhs)

    def _divide_integers(self, op: Operation) -> Scalar:
        lhs, rhs = self._operands(op)
        divisor = rhs.constant if isinstance(rhs, Index) else None
        if divisor is None or divisor < 1:
            raise self._error(op, "the divisor is not a positive constant")
        if isinstance(lhs, Index) and lhs.constant is not None:
            quotient, rest = divmod(lhs.constant, divisor)
            if lhs.constant < 0 and not isinstance(op, arith.FloorDivSIOp) and rest:
                quotient, rest = quotient + 1, rest - divisor
            return Index(Sum(rest if isinstance(op, arith.RemSIOp | arith.RemUIOp) else quotient))
        if not isinstance(op, arith.FloorDivSIOp) and not (isinstance(lhs, Index) and lhs.is_natural):
            raise self._error(op, "it may divide a negative number")
        value = self._as_operand(lhs)
        assert isinstance(value, Value)
        quotient_tile = self._e.floor_divide(value, divisor)
        if not isinstance(op, arith.RemSIOp | arith.RemUIOp):
            return quotient_tile
        whole = self._e.binary("multiply", quotient_tile, float(divisor))
        return self._e.binary("subtract", value, whole)
