"""StableHLO's tensor contraction.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    TensorType,
)
from xdsl.ir import Attribute
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.attributes import (
    DotAlgorithmAttr,
    DotDimensionNumbersAttr,
    PrecisionAttr,
    integers,
)
from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    Operand,
    StableHLOOp,
    check_count,
    check_dimensions,
    check_shape,
    same_size,
    type_of,
)


@irdl_op_definition
class DotGeneralOp(StableHLOOp):
    """Sums of products over the contracting dimensions.

    The result's dimensions are the batching ones, then lhs's others, then rhs's others, each in order.
    """

    name = "stablehlo.dot_general"

    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    dot_dimension_numbers = prop_def(DotDimensionNumbersAttr)
    precision_config = opt_prop_def(ArrayAttr[PrecisionAttr])
    algorithm = opt_prop_def(DotAlgorithmAttr)
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    def __init__(
        self,
        lhs: Operand,
        rhs: Operand,
        dot_dimension_numbers: DotDimensionNumbersAttr,
        element_type: Attribute | None = None,
        precision_config: Sequence[PrecisionAttr] | None = None,
    ):
        """The result has `element_type`, by default lhs's."""
        shape = _dot_shape(type_of(lhs), type_of(rhs), dot_dimension_numbers)
        super().__init__(
            operands=[lhs, rhs],
            result_types=[TensorType(element_type or type_of(lhs).element_type, shape)],
            properties={
                "dot_dimension_numbers": dot_dimension_numbers,
                "precision_config": None if precision_config is None else ArrayAttr(precision_config),
            },
        )

    def verify_(self) -> None:
        lhs, rhs = type_of(self.lhs), type_of(self.rhs)
        numbers = self.dot_dimension_numbers
        lhs_batching, rhs_batching = (
            integers(numbers.lhs_batching_dimensions),
            integers(numbers.rhs_batching_dimensions),
        )
        lhs_contracting, rhs_contracting = (
            integers(numbers.lhs_contracting_dimensions),
            integers(numbers.rhs_contracting_dimensions),
        )
        check_count("rhs batching dimensions", len(rhs_batching), len(lhs_batching))
        check_count("rhs contracting dimensions", len(rhs_contracting), len(lhs_contracting))
        check_dimensions("lhs dimension", (*lhs_batching, *lhs_contracting), lhs.get_num_dims())
        check_dimensions("rhs dimension", (*rhs_batching, *rhs_contracting), rhs.get_num_dims())
        for kind, pairs in (
            ("batching", zip(lhs_batching, rhs_batching, strict=True)),
            ("contracting", zip(lhs_contracting, rhs_contracting, strict=True)),
        ):
            for i, j in pairs:
                got, expected = rhs.get_shape()[j], lhs.get_shape()[i]
                if not same_size(got, expected):
                    raise VerifyException(
                        f"{kind} dimension {j} of rhs has size {got}, but dimension {i} of lhs has size {expected}"
                    )
        if self.precision_config is not None and len(self.precision_config) > 2:
            raise VerifyException(
                f"expected at most 2 entries of precision_config, but got {len(self.precision_config)}"
            )
        check_shape("result", type_of(self.result).get_shape(), _dot_shape(lhs, rhs, numbers))


def _dot_shape(lhs: AnyTensor, rhs: AnyTensor, numbers: DotDimensionNumbersAttr) -> list[int]:
    lhs_batching = integers(numbers.lhs_batching_dimensions)
    lhs_used = (*lhs_batching, *integers(numbers.lhs_contracting_dimensions))
    rhs_used = (
        *integers(numbers.rhs_batching_dimensions),
        *integers(numbers.rhs_contracting_dimensions),
    )
    return [
        *(lhs.get_shape()[dim] for dim in lhs_batching),
        *(size for dim, size in enumerate(lhs.get_shape()) if dim not in lhs_used),
        *(size for dim, size in enumerate(rhs.get_shape()) if dim not in rhs_used),
    ]


DOT_OPS = [
    DotGeneralOp,
]
