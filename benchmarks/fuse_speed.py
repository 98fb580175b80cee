"""
How long `fuse-attention` and `flash-decoding` take, beside what xDSL takes to parse and to verify the same module.

    python benchmarks/fuse_speed.py --groups 1000 4000

One function holds all groups, of about 20 operations each: with and without masks of every kind, in two layouts, with
heads grouped and not. Times are medians of CPU seconds, of copies of one module, verifying and the passes in turns.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from xdsl.dialects.builtin import ModuleOp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from attention_graphs.builder import Builder, Value, single

from flashlower.dialects.attention import CombineOp, SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass

SIZES = {"b": 2, "h": 2, "g": 2, "m": 4, "n": 256, "k": 16, "d": 8}


def _causal(b: Builder, s: Value) -> Value:
    dims = single("m", "n")
    keep = b.compare("GE", b.iota(dims, 0, "i32"), b.iota(dims, 1, "i32"))
    return b.select(b.spread(keep, s), s, b.full(-math.inf, s))


def _lengths(b: Builder, s: Value) -> Value:
    dims = single("b", "n")
    lens = b.broadcast(b.argument(single("b"), "i32", np.asarray([5, 256])), [0], dims)
    return b.select(b.spread(b.compare("LT", b.iota(dims, 1, "i32"), lens), s), s, b.full(-math.inf, s))


def _bias(b: Builder, s: Value) -> Value:
    return b.binary("add", s, b.spread(b.argument(single("m", "n"), s.dtype), s))


def _tril(b: Builder, s: Value) -> Value:
    keep = b.dense(np.tri(b.sizes["m"], b.sizes["n"], dtype=bool), single("m", "n"), "i1")
    return b.select(b.spread(keep, s), s, b.full(-math.inf, s))


def _scale(b: Builder, s: Value) -> Value:
    return b.binary("multiply", s, b.full(0.25, s))


STEPS: tuple[Callable[[Builder, Value], Value] | None, ...] = (None, _causal, _scale, _lengths, _bias, _tril)


def _group(b: Builder, number: int) -> Value:
    """One attention, of operands of its own."""
    step = STEPS[number % len(STEPS)]
    heads = ["h", "g"] if number % 4 == 0 else ["h"]
    outer = ["b", "n", *heads[:1]] if number % 3 == 0 else ["b", *heads[:1], "n"]
    q = b.argument(single("b", *heads, "m", "k"), "f32")
    k, v = b.argument(single(*outer, "k"), "f32"), b.argument(single(*outer, "d"), "f32")
    if heads[1:]:
        k, v = (b.broadcast(x, [0, 1, 2, 4], single(*outer, "g", last)) for x, last in ((k, "k"), (v, "d")))
    s = b.dot(q, k, single("b", *heads), "k", "f32")
    if step is not None:
        s = step(b, s)
    axis = s.axis("n")
    kept = [i for i in range(len(s.dims)) if i != axis]
    top = b.reduce(s, axis, "maximum", b.scalar(-math.inf, s.dtype))
    e = b.unary("exponential", b.binary("subtract", s, b.broadcast(top, kept, s)))
    p = b.binary("divide", e, b.broadcast(b.reduce(e, axis, "add", b.scalar(0.0, s.dtype)), kept, e))
    return b.dot(p, v, single("b", *heads), "n", "f32")


def build(groups: int) -> str:
    """The text of a module with so many groups in one function."""
    b = Builder(Random(0), dict(SIZES))
    return b.module([_group(b, i) for i in range(groups)])


def _timed(run: Callable[[], ModuleOp | None]) -> tuple[float, ModuleOp | None]:
    gc.collect()
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def measure(groups: int, repeats: int) -> dict[str, float]:
    """Median seconds of each step, and the number of operations before the passes."""
    ctx = make_context()
    text = build(groups)
    # `parse_module` verifies too.
    parsing, parsed = _timed(lambda: parse_module(text, ctx))
    assert parsed is not None
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        module = parsed.clone()
        for name, run in (
            ("verify", module.verify),
            ("fuse-attention", lambda module=module: FuseAttentionPass().apply(ctx, module)),
            ("flash-decoding", lambda module=module: FlashDecodingPass(splits=4).apply(ctx, module)),
        ):
            taken, _ = _timed(run)
            times.setdefault(name, []).append(taken)
        found = sum(isinstance(op, CombineOp | SdpaOp) for op in module.walk())
        assert found == groups, f"{found} of {groups} groups were found"
    row = {name: statistics.median(values) for name, values in times.items()}
    return {"operations": sum(1 for _ in parsed.walk()), "parse": parsing - row["verify"], **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print("| groups | operations | parse | verify | fuse-attention | flash-decoding | both / verify |")
    print("|---|---|---|---|---|---|---|")
    for groups in args.groups:
        row = measure(groups, args.repeats)
        ratio = (row["fuse-attention"] + row["flash-decoding"]) / row["verify"]
        names = ("parse", "verify", "fuse-attention", "flash-decoding")
        seconds = " | ".join(f"{row[name]:.2f} s" for name in names)
        print(f"| {groups} | {row['operations']:.0f} | {seconds} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
