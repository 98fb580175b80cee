"""What the pure ops of the `tl` dialect share: result types that follow from the operands, and identities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation, traits_def
from xdsl.pattern_rewriter import RewritePattern
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.types import verify_value_type


def operand_types(op: Operation) -> tuple[Attribute, ...]:
    """The types of all operands of an op, in order."""
    return tuple(operand.type for operand in op.operands)


def canonicalization_patterns() -> tuple[RewritePattern, ...]:
    """The identities that `canonicalize` knows of the dialect."""
    # The patterns need the ops, and the ops this.
    from flashlower.dialects.tl.canonicalize import PATTERNS  # noqa: PLC0415

    return PATTERNS


class InferredOp(IRDLOperation, ABC):
    """
    A pure op with one result whose type follows from the operands and properties.

    Subclasses say how in `infer`; the constructor of each uses it to build the result, and the verifier to
    check it, so IR text and builders obey one rule.
    """

    traits = traits_def(Pure())

    @abstractmethod
    def infer(self, types: Sequence[Attribute]) -> Attribute:
        """The result type for operands of these types; raises VerifyException when they do not fit."""

    def inferred(
        self,
        operands: Sequence[SSAValue | Operation | Sequence[SSAValue] | None],
        properties: Mapping[str, Attribute | None] | None = None,
        regions: Sequence[Region] = (),
    ) -> None:
        """
        Initialise this op with the result type that `infer` gives; raises VerifyException when the operands
        do not fit, before an op exists.
        """
        types: list[Attribute] = []
        for operand in operands:
            if operand is None:
                continue
            group = [operand] if isinstance(operand, SSAValue | Operation) else operand
            types.extend(SSAValue.get(value).type for value in group)
        # `infer` may read properties, so they are set before the operands are.
        self.properties = {k: v for k, v in (properties or {}).items() if v is not None}
        result_type = self.infer(types)
        super().__init__(operands=operands, result_types=[result_type], properties=properties or {}, regions=regions)

    def verify_(self) -> None:
        types = operand_types(self)
        for type in (*types, *(result.type for result in self.results)):
            verify_value_type(type)
        expected = self.infer(types)
        if self.results[0].type != expected:
            raise VerifyException(f"the result of {self.name} here is {expected}, got {self.results[0].type}")
