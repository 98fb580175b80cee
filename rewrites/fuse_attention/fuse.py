"""The pass `fuse-attention`."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from xdsl.context import Context
from xdsl.dialects.builtin import Float64Type, ModuleOp, TensorType, f32, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.traits import NoMemoryEffect, is_side_effect_free

from flashlower.dialects.attention import Quantization, SdpaOp
from flashlower.dialects.attention.quantization import Shared
from flashlower.dialects.parsing import as_module, make_context
from flashlower.interpreters import make_interpreter
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.absorb import Operand
from flashlower.rewrites.fuse_attention.access import Read
from flashlower.rewrites.fuse_attention.composites import CompositeInliner
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.emit import Emitter
from flashlower.rewrites.fuse_attention.existing import Existing
from flashlower.rewrites.fuse_attention.explain import Explainer, Remark
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.join import joined
from flashlower.rewrites.fuse_attention.lengths import logit_factor, split_kv_lens
from flashlower.rewrites.fuse_attention.match import Group, Matcher
from flashlower.rewrites.fuse_attention.operands import Dimensions, result_of
from flashlower.rewrites.fuse_attention.place import insert, insertion_point, lse_of, sink_of
from flashlower.rewrites.inline import InlineCallsPass


@dataclass(frozen=True)
class FuseAttentionPass(ModulePass):
    """
    Replaces every dot -> elementwise -> softmax -> dot group of StableHLO by one `attention.sdpa`.

    Views around an `attention.sdpa` that is there already become its layouts, and its masks formulas.
    Calls are inlined first, as JAX hides masks in private functions, and composites that are named attention, where
    their decomposition holds attention. What is no attention stays as it is.
    """

    name = "fuse-attention"

    explain: bool = False
    """Say on stderr, for every softmax that was met, what was found or why it was left alone."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for remark in fuse_attention(op, ctx, explain=self.explain):
            print(remark, file=sys.stderr)


def fuse_attention(module: ModuleOp, ctx: Context, *, explain: bool = False) -> list[Remark]:
    """Does what the pass does. Returns its remarks if it is to explain itself."""
    InlineCallsPass().apply(ctx, module)
    CompositeInliner(_holds_attention).run(module)
    return _fuse_all(module, explain)


def explain(module: ModuleOp | str) -> list[Remark]:
    """
    What `fuse-attention` would say of a module, which stays as it is: a remark for every softmax in it.

    Raises `ModuleTextError` for text that cannot be read, and `TypeError` for what is no module.
    """
    ctx = make_context()
    return fuse_attention(as_module(module, ctx), ctx, explain=True)


def _holds_attention(function: FuncOp) -> bool:
    module = ModuleOp([function.clone()])
    _fuse_all(module, explain=False)
    return any(isinstance(op, SdpaOp) for op in module.walk())


def _fuse_all(module: ModuleOp, explain: bool) -> list[Remark]:
    folder = ConstantFolder(make_interpreter(module))
    positions = {
        inner: i
        for outer in module.walk()
        for region in outer.regions
        for block in region.blocks
        for i, inner in enumerate(block.ops)
    }
    for op in [o for o in positions if isinstance(o, SdpaOp)]:
        _absorb_around(op, folder)
    explainer = Explainer(module, folder) if explain else None
    for dot in [o for o in positions if o.name == "stablehlo.dot_general"]:
        # What only an earlier group needed is gone.
        if dot.parent is not None:
            fuse(dot, folder, positions, explainer)
    return [] if explainer is None else explainer.remarks()


def _absorb_around(op: SdpaOp, folder: ConstantFolder) -> None:
    """Replaces an operation that was there before the pass by one that reads and writes more directly."""
    if (replaced := Existing(op, folder).replace()) is not None:
        _erase_dead(replaced)


def fuse(
    dot: Operation, folder: ConstantFolder, positions: Mapping[Operation, int], explainer: Explainer | None = None
) -> SdpaOp | None:
    """Replaces the group that ends in this second dot, if there is one."""
    for side in (0, 1):
        if not _may_be_weights(dot.operands[side]):
            continue
        try:
            matcher = Matcher(dot, side, folder, positions)
            try:
                group, dims, result, place, sdpa = _match(matcher, positions)
            except NotAttention:
                if not matcher.has_codes:
                    raise
                # No layout says where the codes are, but perhaps one where the floats are.
                matcher = Matcher(dot, side, folder, positions, dequantises=False)
                group, dims, result, place, sdpa = _match(matcher, positions)
        except NotAttention as reason:
            if explainer is not None:
                explainer.failed(dot, side, str(reason))
            continue
        last = hlo.owner(result.value)
        assert last is not None
        insert(sdpa, group, dims, result, place)
        if explainer is not None:
            explainer.fused(matcher.tracer.visited, sdpa)
        for op in (*group.unused, *(hlo.owner(use.read.value) for use in group.row_uses), last):
            if op is not None:
                _erase_dead(op)
        return sdpa
    return None


def _match(matcher: Matcher, positions: Mapping[Operation, int]) -> tuple[Group, Dimensions, Read, Operation, SdpaOp]:
    """The group, its dimensions, its result, the operation that it goes before, and what takes its place."""
    group = matcher.match()
    result, lse = result_of(group), lse_of(group)
    dims = Dimensions(group, result)
    place = insertion_point(group, result, positions)
    return group, dims, result, place, _build(group, dims, result, lse)


def _may_be_weights(value: SSAValue) -> bool:
    """Whether more than views lies between a value and an argument or another dot: most dots end their match here."""
    while (op := hlo.owner(value)) is not None and (op.name in hlo.VIEWS or op.name == "stablehlo.convert"):
        value = op.operands[0]
    return op is not None and op.name != "stablehlo.dot_general"


def _build(group: Group, dims: Dimensions, result: Read, lse: Read | None) -> SdpaOp:
    query, key, value = group.query.read, *(_codes(operand, group) for operand in (group.key, group.value))
    score, lens = split_kv_lens(group.score, dims)
    scale = logit_factor(score)
    if scale == 0 or not math.isfinite(scale):
        # The score region multiplies by it.
        scale = 1.0
    type = f64 if isinstance(hlo.element_type(query.value), Float64Type) else f32
    sink = sink_of(group)
    if lse is not None and not dims.has_all_rows(lse):
        raise NotAttention("the LSE is the same for several rows of the result")
    layouts = {
        name: dims.layout(read, allowed)
        for name, read, allowed in (
            ("q", query, "hgmk"),
            ("k", key, "hgnk"),
            ("v", value, "hgnd"),
            ("out", result, "hgmd"),
            ("lse", lse, "hgm"),
            ("kv_lens", lens, "hg"),
            ("sinks", sink, "hg"),
        )
        if read is not None
    }
    quantized = {
        name: _quantization(operand, name, channel, dims, group)
        for name, operand, channel in (("k", group.key, "k"), ("v", group.value, "d"))
    }
    for name, read in (("q", query), ("k", key), ("v", value), ("kv_lens", lens), ("sinks", sink)):
        if read is not None:
            _name(read.value, name)
    return SdpaOp(
        query.value,
        key.value,
        value.value,
        layouts,
        scale,
        result.value.type,
        key_quantization=quantized["k"],
        value_quantization=quantized["v"],
        kv_lens=None if lens is None else lens.value,
        sinks=None if sink is None else sink.value,
        score=Emitter(dims, type, scale).region(score),
        lse_type=None if lse is None else TensorType(type, hlo.shape(lse.value)),
    )


def _codes(operand: Operand, group: Group) -> Read:
    """What K or V is read from, with one dimension of keys."""
    return operand.read if operand.quantized is None else joined(operand.read, group.n)


def _quantization(operand: Operand, name: str, channel: str, dims: Dimensions, group: Group) -> Quantization | None:
    """How K or V is quantised, where it is."""
    if operand.quantized is None:
        return None
    parts: dict[str, Shared] = {}
    for part, original in operand.quantized.parts.items():
        read = joined(original, group.n)
        parts[part] = Shared(read.value, dims.layout(read, f"hgn{channel}"))
        _name(read.value, f"{name}_{part}")
    return Quantization(operand.quantized.attr, **parts)


def _name(value: SSAValue, name: str) -> None:
    """Names a value by its role where it has no name but a number: kernels take their names from the IR."""
    if value.name_hint is None or re.fullmatch(r"arg\d*", value.name_hint):
        value.name_hint = name


@lru_cache
def _is_pure(type: type[Operation]) -> bool:
    """Whether operations of a class have no effects whatever is in their regions, which the others have to be asked."""
    return type.has_trait(NoMemoryEffect)


def _erase_dead(op: Operation) -> None:
    """Erases an operation and what only it needed; groups that share operands keep them."""
    worklist = [op]
    while worklist:
        dead = worklist.pop()
        if dead.parent is None or any(r.first_use for r in dead.results):
            continue
        if not (_is_pure(type(dead)) or is_side_effect_free(dead)):
            continue
        # What a score region captures is no operand of the operation.
        operands = [o for op in dead.walk() for o in op.operands] if isinstance(dead, SdpaOp) else dead.operands
        owners = [o for operand in operands if (o := hlo.owner(operand)) is not None and o.parent_op() is not dead]
        Rewriter.erase_op(dead)
        worklist += owners
