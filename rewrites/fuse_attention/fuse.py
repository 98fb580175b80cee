"""The pass `fuse-attention`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import Float64Type, ModuleOp, f32, f64
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from flashlower.dialects.attention import SdpaOp
from flashlower.interpreters import make_interpreter
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.emit import Emitter, logit_factor, split_kv_lens
from flashlower.rewrites.fuse_attention.match import Group, Matcher
from flashlower.rewrites.fuse_attention.operands import Dimensions, Operands
from flashlower.rewrites.fuse_attention.score import NotAttention
from flashlower.rewrites.inline import InlineCallsPass


@dataclass(frozen=True)
class FuseAttentionPass(ModulePass):
    """
    Replaces every dot -> elementwise -> softmax -> dot group of StableHLO by one `attention.sdpa`.

    Calls are inlined first, as JAX hides masks in private functions. What is no attention stays as it is.
    """

    name = "fuse-attention"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        InlineCallsPass().apply(ctx, op)
        folder = ConstantFolder(make_interpreter(op))
        positions = {o: i for block in _blocks(op) for i, o in enumerate(block)}
        for dot in [o for o in op.walk() if o.name == "stablehlo.dot_general"]:
            fuse(dot, folder, positions)


def _blocks(op: Operation) -> list[list[Operation]]:
    return [list(block.ops) for o in op.walk() for region in o.regions for block in region.blocks]


def fuse(dot: Operation, folder: ConstantFolder, positions: Mapping[Operation, int]) -> SdpaOp | None:
    """Replaces the group that ends in this second dot, if there is one."""
    for side in (0, 1):
        try:
            group = Matcher(dot, side, folder, positions).match()
            operands = Operands.of(group)
            sdpa = _build(group, operands)
        except NotAttention:
            continue
        result = operands.result
        last = hlo.owner(result)
        assert last is not None
        Rewriter.insert_op(sdpa, InsertPoint.before(last))
        sdpa.output.name_hint = result.name_hint
        result.replace_all_uses_with(sdpa.output)
        _erase_dead(last)
        return sdpa
    return None


def _build(group: Group, operands: Operands) -> SdpaOp:
    dims = Dimensions(group, operands)
    query, key, value = operands.query, operands.key, operands.value
    score, lens = split_kv_lens(group.score, dims)
    factor = logit_factor(score) or 1.0
    type = f64 if isinstance(hlo.element_type(query.read.value), Float64Type) else f32
    layouts = {
        "q": dims.layout(query.read.indices, "hgmk"),
        "k": dims.layout(key.read.indices, "hgnk"),
        "v": dims.layout(value.read.indices, "hgnd"),
        "out": dims.layout(operands.result_indices, "hgmd"),
    }
    if lens is not None:
        layouts["kv_lens"] = dims.layout(lens.indices, "hg")
    return SdpaOp(
        query.read.value,
        key.read.value,
        value.read.value,
        layouts,
        factor * query.factor * key.factor,
        operands.result.type,
        kv_lens=None if lens is None else lens.value,
        score=Emitter(dims, type, factor).region(score),
    )


def _erase_dead(op: Operation) -> None:
    """Erases an operation and what only it needed; groups that share operands keep them."""
    worklist = [op]
    while worklist:
        dead = worklist.pop()
        if dead.parent is None or not dead.name.startswith(("stablehlo.", "arith.")):
            continue
        if dead.name in ("stablehlo.custom_call", "stablehlo.while") or any(r.uses for r in dead.results):
            continue
        owners = [owner for operand in dead.operands if (owner := hlo.owner(operand)) is not None]
        Rewriter.erase_op(dead)
        worklist += owners
