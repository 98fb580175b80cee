"""Operators with subgraphs."""

from __future__ import annotations

from typing import Any

from xdsl.dialects.builtin import i1
from xdsl.ir import Block, Region

from flashlower.dialects import stablehlo
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("If")
def if_(node: Node) -> list[Value | None]:
    """The branch that is taken, where that is known; else both branches in `stablehlo.if`."""
    condition = node.input(0)
    if condition.size != 1 or condition.element_type != i1:
        raise node.error(f"the condition has type {condition.type}, expected one boolean")
    branches = [node.attribute("then_branch"), node.attribute("else_branch")]
    if any(branch is None for branch in branches):
        raise node.error("then_branch or else_branch is missing")
    if condition.array is not None:
        taken = branches[0] if condition.array.reshape(()) else branches[1]
        return list(node.scope.subgraph().run_graph(taken))
    regions = [_region(node, branch) for branch in branches]
    types = [[value.type for value in region.block.last_op.operands] for region in regions if region.block.last_op]
    if types[0] != types[1]:
        raise node.error(f"the branches give ({_show(types[0])}) and ({_show(types[1])}), expected the same types")
    op = stablehlo.IfOp.build(
        operands=[node.b.ssa(node.b.reshape(condition, ()))], result_types=[types[0]], regions=regions
    )
    return [Value(result) for result in node.b.add_op(op).results]


def _show(types: list[Any]) -> str:
    return ", ".join(map(str, types))


def _region(node: Node, graph: Any) -> Region:
    block = Block()
    with node.b.inside(block):
        results = [node.b.ssa(value) for value in node.scope.subgraph().run_graph(graph)]
        block.add_op(stablehlo.ReturnOp(results))
    return Region(block)
