"""What of a score `attention.sdpa` holds outside its region: the lengths of the key sequences, and the scale."""

from __future__ import annotations

from xdsl.dialects.builtin import i32, i64

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Read
from flashlower.rewrites.fuse_attention.expression import (
    NEGATIVE_INFINITY,
    Affine,
    And,
    Bool,
    Compare,
    Float,
    Logit,
    Select,
    TensorRead,
    children,
    conjuncts,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.operands import Dimensions


def split_kv_lens(score: Float, dims: Dimensions) -> tuple[Float, Read | None]:
    """
    Takes `n < lens[...]` out of a score that is -inf elsewhere: keys beyond a length do not exist.

    Only an outermost condition may go: inside, -inf may still become something else.
    """
    if not isinstance(score, Select) or score.otherwise != NEGATIVE_INFINITY:
        return score, None
    conditions = list(conjuncts(score.condition))
    for i, condition in enumerate(conditions):
        if (lens := _as_length(condition, dims)) is not None:
            rest = conditions[:i] + conditions[i + 1 :]
            if not rest:
                return score.then, lens
            return Select(And(tuple(rest)) if len(rest) > 1 else rest[0], score.then, score.otherwise), lens
    return score, None


def _as_length(condition: Bool, dims: Dimensions) -> Read | None:
    """`lens[...]` of the condition `n < lens[...]`, if only batch and head dimensions index it."""
    match condition:
        case Compare("le", Affine(coefficients, 1)) if len(coefficients) == 2:
            pass
        case _:
            return None
    lens: Read | None = None
    for atom, c in coefficients:
        if isinstance(atom, TensorRead) and c == -1 and hlo.element_type(atom.value) in (i32, i64):
            lens = Read(atom.value, atom.indices)
        elif not (isinstance(atom, Digit) and atom.var is dims.group.n and atom.is_whole and c == 1):
            return None
    if lens is None:
        return None
    try:
        dims.layout(lens, "hg")
    except NotAttention:
        return None
    return lens


def logit_factor(score: Float) -> float:
    """The factor of the first logit in a score; 0 where there is none."""
    if isinstance(score, Logit):
        return score.factor
    return next((f for f in map(logit_factor, children(score)) if f), 0.0)
