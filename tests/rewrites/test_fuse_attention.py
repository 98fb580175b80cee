"""
Locks in what `fuse-attention` must keep besides the form of its result (see tests/filecheck/rewrites): that nothing of
Q, K and V is copied in real exports, that odd but legal graphs give the same numbers, that no graph makes it crash or
run away, that its work is linear, and that the same module gives the same text.
"""

from __future__ import annotations

import json
import math
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType

import numpy as np
import pytest
from attention_graphs.builder import Builder, Value, single
from attention_graphs.check import difference
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument

from flashlower.dialects.attention import CombineOp, SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass

CORPUS = Path(__file__).parents[1] / "corpus"
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuse_speed.py"


def fuse(text: str) -> tuple[ModuleOp, list[SdpaOp]]:
    module = parse_module(text)
    FuseAttentionPass().apply(make_context(), module)
    module.verify()
    return module, [op for op in module.walk() if isinstance(op, SdpaOp)]


# Real exports

ATTENTION_ONLY = [
    path
    for front_end in ("jax", "torch", "onnx")
    for name, case in json.loads((CORPUS / front_end / "meta.json").read_text()).items()
    # Whole models have two groups, and compute Q, K and V themselves.
    if case["groups"] == 1 and (path := CORPUS / front_end / f"{name}.mlir").exists()
]


@pytest.mark.parametrize("path", ATTENTION_ONLY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_operands_of_real_exports_are_read_in_place(path: Path) -> None:
    _, (op,) = fuse(path.read_text())
    for value in (op.query, op.key, op.value):
        assert isinstance(value, BlockArgument) or value.owner.name == "stablehlo.dynamic_update_slice"


# Odd but legal scores

Step = Callable[[Builder, Value], Value]
SIZES = {"b": 2, "h": 2, "m": 3, "n": 5, "k": 4, "d": 3}


def attention(b: Builder, q: Value, k: Value, v: Value, step: Step) -> Value:
    s = step(b, b.dot(q, k, single("b", "h"), "k", q.dtype))
    top = b.reduce(s, 3, "maximum", b.scalar(-math.inf, s.dtype))
    e = b.unary("exponential", b.binary("subtract", s, b.broadcast(top, [0, 1, 2], s)))
    p = b.binary("divide", e, b.broadcast(b.reduce(e, 3, "add", b.scalar(0.0, s.dtype)), [0, 1, 2], e))
    return b.dot(p, v, single("b", "h"), "n", s.dtype)


def attention_module(step: Step, groups: int = 1) -> Builder:
    b = Builder(Random(0), dict(SIZES))
    x = b.argument(single("b", "h", "m", "k"), "f32")
    k, v = b.argument(single("b", "h", "n", "k"), "f32"), b.argument(single("b", "h", "n", "d"), "f32")
    b.results = []
    for _ in range(groups):
        b.results.append(attention(b, x, k, v, step))
    return b


def bias(dtype: str, **limits: int) -> Step:
    """A bias that comes from integers or floats of another type."""

    def step(b: Builder, s: Value) -> Value:
        rng = np.random.default_rng(1)
        data = rng.integers(limits["low"], limits["high"], s.shape) if limits else rng.standard_normal(s.shape)
        return b.binary("add", s, b.convert(b.argument(s.dims, dtype, data), s.dtype))

    return step


def narrowed_constant(b: Builder, s: Value) -> Value:
    """A factor of 300 that wraps to 44 in 8 bits on its way."""
    wide = b.full(300, s, "i32")
    return b.binary("multiply", s, b.convert(b.convert(b.convert(wide, "i8"), "i32"), s.dtype))


def constant_through_bool(b: Builder, s: Value) -> Value:
    """0.5 is true, and true is 1."""
    return b.binary("multiply", s, b.convert(b.convert(b.full(0.5, s), "i1"), s.dtype))


def wrapping_mask(b: Builder, s: Value) -> Value:
    """n <= m + 127 in 8 bits, where m + 127 wraps to negative numbers for m > 0."""
    dims = single("m", "n")
    m, n = b.iota(dims, 0, "i8"), b.iota(dims, 1, "i8")
    far = b.binary("add", m, b.broadcast(b.argument((), "i8", np.asarray(127)), (), m))
    return b.select(b.spread(b.compare("GE", far, n), s), s, b.full(-1e4, s))


def rounded_positions(b: Builder, s: Value) -> Value:
    """A mask by positions in bf16, which cannot tell 256 and 257 apart."""
    n = b.iota(single("n"), 0, "i32")
    position = b.convert(b.binary("add", n, b.full(255, n)), "bf16")
    keep = b.compare("LE", position, b.full(256.0, position))
    return b.select(b.spread(keep, s), s, b.full(-math.inf, s))


def masked_mask(b: Builder, s: Value) -> Value:
    """Two finite masks that empty rows in different ways: both must count in a row that has no key."""
    rng = np.random.default_rng(2)
    for low in (-3e38, -3.4e38):
        keep = b.argument(single("m", "n"), "i1", rng.random((3, 5)) < 0.2)
        chosen = b.select(b.spread(keep, s), b.full(0.0, s), b.full(low, s))
        s = b.binary("add", s, chosen)
    return s


def mask_and_number(b: Builder, s: Value) -> Value:
    """A constant on either side of an added mask."""
    keep = b.argument(single("n"), "i1", np.asarray([1, 0, 1, 1, 0]))
    chosen = b.select(b.spread(keep, s), b.full(0.0, s), b.full(-math.inf, s))
    return b.binary("add", s, b.binary("add", b.binary("add", chosen, b.full(5.0, s)), b.full(-2.0, s)))


def infinite_multiples(b: Builder, s: Value) -> Value:
    """iota * -inf is NaN for the first key and -inf for the others."""
    n = b.convert(b.iota(single("n"), 0, "i32"), s.dtype)
    return b.binary("add", s, b.spread(b.binary("multiply", n, b.full(-math.inf, n)), s))


def function_of_the_logit(b: Builder, s: Value) -> Value:
    """s * tanh(s) + max(s, 0): the logit several times, in any function."""
    return b.binary("add", b.binary("multiply", s, b.unary("tanh", s)), b.binary("maximum", s, b.full(0.0, s)))


def condition_on_the_logit(b: Builder, s: Value) -> Value:
    return b.select(b.compare("GT", s, b.full(0.0, s)), s, b.binary("multiply", s, b.full(0.01, s)))


def shift_per_row(b: Builder, s: Value) -> Value:
    """What is subtracted is no maximum, but changes no weight either."""
    return b.binary("subtract", s, b.spread(b.argument(single("b", "m"), s.dtype), s))


STEPS: dict[str, Step] = {
    "bias in f64": bias("f64"),
    "bias in bf16": bias("bf16"),
    "bias of i8": bias("i8", low=-128, high=128),
    "bias of i64": bias("i64", low=-5, high=5),
    **{
        step.__name__: step
        for step in (
            *(narrowed_constant, constant_through_bool, wrapping_mask, rounded_positions, masked_mask),
            *(mask_and_number, infinite_multiples, function_of_the_logit, condition_on_the_logit, shift_per_row),
        )
    },
}


@pytest.mark.parametrize("name", STEPS)
def test_odd_scores_are_fused_and_right(name: str) -> None:
    b = attention_module(STEPS[name])
    text, inputs = b.module(b.results), [data for _, data in b.arguments]
    module, fused = fuse(text)
    assert len(fused) == 1
    (expected,), (got,) = run_module(parse_module(text), inputs), run_module(module, inputs)
    assert difference(expected, got, plain_softmax=True) < 1e-5


# Graphs that could make it crash or run away


def repeated(name: str, times: int, *, doubled: bool, captured: bool) -> Step:
    """A chain of operations on the logit or on a bias; `doubled`: each uses the one before twice."""

    def step(b: Builder, s: Value) -> Value:
        value = b.argument(s.dims, s.dtype) if captured else s
        for _ in range(times):
            value = b.binary(name, value, value) if doubled else b.unary(name, value)
        return b.binary("add", s, value) if captured else value

    return step


@pytest.mark.parametrize(
    ("step", "groups"),
    [
        (repeated("tanh", 3000, doubled=False, captured=False), 0),
        (repeated("tanh", 3000, doubled=False, captured=True), 1),
        (repeated("add", 60, doubled=True, captured=False), 0),
        (repeated("multiply", 60, doubled=True, captured=True), 1),
    ],
    ids=["deep score", "deep bias", "score of 2^60 terms", "bias of 2^60 factors"],
)
def test_large_scores_end_in_time(step: Step, groups: int) -> None:
    b = attention_module(step)
    text = b.module(b.results)
    module = parse_module(text)
    start = time.process_time()
    FuseAttentionPass().apply(make_context(), module)
    assert time.process_time() - start < 30
    assert sum(isinstance(op, SdpaOp) for op in module.walk()) == groups


def calls_of(run: Callable[[], None]) -> int:
    """How many calls of functions a computation makes: a measure of its work that no other load changes."""
    count = 0

    def profiler(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profiler)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def test_work_is_linear_and_below_that_of_two_verifications() -> None:
    """The graphs of benchmarks/fuse_speed.py: four times as many groups make four times the work."""
    build = runpy.run_path(str(BENCHMARK))["build"]
    works: list[int] = []
    for groups in (8, 32):
        ctx = make_context()
        module = parse_module(build(groups), ctx)
        verification = calls_of(module.verify)

        def passes(module: ModuleOp = module, ctx: Context = ctx) -> None:
            FuseAttentionPass().apply(ctx, module)
            FlashDecodingPass(splits=4).apply(ctx, module)

        works.append(calls_of(passes))
        assert works[-1] < 2 * verification
        assert sum(isinstance(op, CombineOp) for op in module.walk()) == groups
    assert works[1] < 4.4 * works[0]


def test_same_module_gives_same_text() -> None:
    text = (CORPUS / "jax" / "alibi_decode.mlir").read_text()
    assert str(fuse(text)[0]) == str(fuse(text)[0])
