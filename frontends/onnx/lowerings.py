"""The lowering functions of all files in one table."""

from flashlower.frontends.onnx import (
    activations,
    arithmetic,
    attention,
    control_flow,
    conversion,
    indexing,
    linear,
    normalization,
    reduction,
    scatter,
    shape,
)
from flashlower.frontends.onnx.node import Table

LOWERINGS = Table()
for module in (
    activations,
    arithmetic,
    attention,
    control_flow,
    conversion,
    indexing,
    linear,
    normalization,
    reduction,
    scatter,
    shape,
):
    LOWERINGS.update(module.table)
