"""Ops that change the element type: conversion of numbers, and the same bits read as another type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from xdsl.interfaces import HasCanonicalizationPatternsInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, result_def
from xdsl.pattern_rewriter import RewritePattern
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.base import InferredOp, canonicalization_patterns
from flashlower.dialects.tl.types import (
    bit_width,
    block_of,
    element_type,
    is_bool,
    is_number,
    shape_of,
    verify_broadcasts_to,
)


class _ConversionOp(InferredOp, ABC):
    """An op whose result has the element type that its constructor, or IR text, names."""

    input = operand_def()
    result = result_def()

    assembly_format = "$input attr-dict `:` type($input) `->` type($result)"

    def __init__(self, input: SSAValue | Operation, element: Attribute):
        type = SSAValue.get(input).type
        result_type = block_of(element, shape_of(type))
        self._check(type, result_type)
        super(InferredOp, self).__init__(operands=[input], result_types=[result_type])

    @staticmethod
    @abstractmethod
    def _check(source: Attribute, target: Attribute) -> None:
        """Raises `VerifyException` for types that there is no conversion between."""

    def infer(self, types: Sequence[Attribute]) -> Attribute:
        target = self.results[0].type
        self._check(types[0], target)
        return target


@irdl_op_definition
class CastOp(_ConversionOp, HasCanonicalizationPatternsInterface):
    """`input.to(dtype)`: another element type, the same shape. Floats go to integers towards zero."""

    name = "tl.cast"

    @staticmethod
    def _check(source: Attribute, target: Attribute) -> None:
        if not is_number(element_type(source)) or not is_number(element_type(target)):
            raise VerifyException(f"tl.cast is between numbers, got {source} to {target}")
        verify_broadcasts_to("the operand of tl.cast", source, target)
        if shape_of(source) != shape_of(target):
            raise VerifyException(f"tl.cast keeps the shape, got {source} to {target}")

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        return canonicalization_patterns()


@irdl_op_definition
class BitcastOp(_ConversionOp):
    """`input.to(dtype, bitcast=True)`: the same bits read as another type of as many bits."""

    name = "tl.bitcast"

    @staticmethod
    def _check(source: Attribute, target: Attribute) -> None:
        numbers = [element_type(source), element_type(target)]
        if not all(map(is_number, numbers)) or any(map(is_bool, numbers)):
            raise VerifyException(f"tl.bitcast is between numbers, got {source} to {target}")
        if bit_width(numbers[0]) != bit_width(numbers[1]):
            raise VerifyException(f"tl.bitcast keeps the bits, got {source} to {target}")
        if shape_of(source) != shape_of(target):
            raise VerifyException(f"tl.bitcast keeps the shape, got {source} to {target}")
