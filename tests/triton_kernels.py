"""Kernels written with `KernelBuilder`, that several test files print, run and compile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    FunctionType,
    IndexType,
    IntegerAttr,
    ModuleOp,
    TensorType,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Region, SSAValue

from flashlower.dialects import launch, tl
from flashlower.dialects.tl.types import is_float8
from flashlower.lowering.triton.builder import KernelBuilder

LOG2_E = math.log2(math.e)


def index(value: int) -> SSAValue:
    return arith.ConstantOp(IntegerAttr(value, IndexType())).result


def size(tensor: SSAValue, dim: int) -> SSAValue:
    return launch.SizeOp(tensor, dim).result


def stride(tensor: SSAValue, dim: int) -> SSAValue:
    return launch.StrideOp(tensor, dim).result


def function(name: str, types: list[Attribute], result: Attribute, names: list[str]) -> tuple[func.FuncOp, Block]:
    block = Block(arg_types=types)
    for argument, hint in zip(block.args, names, strict=True):
        argument.name_hint = hint
    return func.FuncOp(name, FunctionType.from_lists(types, [result]), Region(block)), block


def row_softmax(columns: int = 64) -> ModuleOp:
    """main(x [R, C] f32) -> f32 [R, C], C <= columns: softmax over the rows, one program each."""
    b = KernelBuilder(
        "softmax_kernel",
        {"x_ptr": tl.PtrType(f32), "out_ptr": tl.PtrType(f32), "n": i32, "stride_r": i64, "stride_c": i64},
        doc="Softmax over one row.",
    )
    x_ptr, out_ptr, n, stride_r, stride_c = b.args
    block = b.constexpr("BLOCK", columns)
    row = b.cast(b.program_id(0), i64, name="row")
    cols = b.arange(0, block, name="cols")
    mask = b.lt(cols, n, name="mask")
    wide = b.cast(cols, i64)
    where = b.add(b.mul(row, stride_r), b.mul(wide, stride_c))
    x = b.load(b.add(x_ptr, where), mask=mask, other=-math.inf, name="x")
    p = b.exp(b.sub(x, b.max(x, 0)), name="p")
    out = b.add(b.mul(row, b.cast(n, i64)), b.cast(cols, i64))
    b.store(b.add(out_ptr, out), b.truediv(p, b.sum(p, 0)), mask=mask)
    type = TensorType(f32, [DYNAMIC_INDEX, DYNAMIC_INDEX])
    main, body = function("main", [type], type, ["x"])
    (x,) = body.args
    with ImplicitBuilder(body):
        rows, n = size(x, 0), size(x, 1)
        out = launch.EmptyOp([rows, n], type).result
        launch.KernelOp("softmax_kernel", [rows], [x, out, n, stride(x, 0), stride(x, 1)], num_warps=4)
        func.ReturnOp(out)
    return ModuleOp([b.finish(), main])


def flash_attention(
    element: Attribute,
    *,
    head: int,
    block_m: int = 16,
    block_n: int = 32,
    causal: bool = False,
    num_stages: int | None = None,
) -> ModuleOp:
    """
    main(q [B, Hq, M, K], k [B, Hkv, N, K], v [B, Hkv, N, K]) -> out [B, Hq, M, K], K = head.

    One program makes block_m of the Hq / Hkv * M query rows of one KV head; the softmax is online, in base 2.
    A causal mask lets the last query see the last key.
    """
    pointer = tl.PtrType(element)
    strides = {f"stride_{t}{d}": i64 for t in "qkv" for d in "bhsd"}
    b = KernelBuilder(
        "flash_kernel",
        {"q_ptr": pointer, "k_ptr": pointer, "v_ptr": pointer, "out_ptr": pointer, **strides}
        | {"heads": i32, "group": i32, "queries": i32, "keys": i32},
        doc="Flash attention: BLOCK_M rows (query heads of one KV head, times queries) against all keys.",
    )
    block_m_, block_n_, head_ = (
        b.constexpr(n, v) for n, v in (("BLOCK_M", block_m), ("BLOCK_N", block_n), ("HEAD", head))
    )
    kv_heads, group, queries, keys = (b.arg(n) for n in ("heads", "group", "queries", "keys"))
    pid = b.program_id(1, name="pid")
    batch = b.cast(b.floordiv(pid, kv_heads), i64, name="batch")
    kv_head = b.mod(pid, kv_heads, name="kv_head")
    rows = b.add(b.mul(b.program_id(0), block_m_), b.arange(0, block_m_), name="rows")
    offs_n = b.arange(0, block_n_, name="offs_n")
    offs_d = b.cast(b.arange(0, head_), i64, name="offs_d")
    row_mask = b.lt(rows, b.mul(group, queries), name="row_mask")
    query = b.mod(rows, queries, name="query")
    q_head = b.cast(b.add(b.mul(kv_head, group), b.floordiv(rows, queries)), i64, name="q_head")
    q_rows = b.add(
        b.add(b.mul(batch, b.arg("stride_qb")), b.mul(q_head, b.arg("stride_qh"))),
        b.mul(b.cast(query, i64), b.arg("stride_qs")),
    )
    q_offs = b.add(b.rows(q_rows), b.mul(b.columns(offs_d), b.arg("stride_qd")))
    q = b.load(b.add(b.arg("q_ptr"), q_offs), mask=b.rows(row_mask), other=0.0, name="q")
    wide_head = b.cast(kv_head, i64)
    bases = {}
    for t in "kv":
        base = b.add(b.mul(batch, b.arg(f"stride_{t}b")), b.mul(wide_head, b.arg(f"stride_{t}h")))
        bases[t] = b.add(b.arg(f"{t}_ptr"), base, name=f"{t}_base")
    inits = {
        "m_i": b.full([block_m_], -1e30, f32, name="m_i"),
        "l_i": b.zeros([block_m_], f32, name="l_i"),
        "acc": b.zeros([block_m_, head_], f32, name="acc"),
    }
    with b.range(0, keys, block_n_, inits=inits, num_stages=num_stages, name="start_n") as loop:
        cols = b.add(loop.index, offs_n, name="cols")
        col_mask = b.lt(cols, keys, name="col_mask")
        tiles = {}
        for t in "kv":
            offs = b.add(
                b.mul(b.rows(b.cast(cols, i64)), b.arg(f"stride_{t}s")),
                b.mul(b.columns(offs_d), b.arg(f"stride_{t}d")),
            )
            tiles[t] = b.load(b.add(bases[t], offs), mask=b.rows(col_mask), other=0.0, name=t)
        product = b.dot(q, b.trans(tiles["k"]), input_precision="ieee")
        s = b.mul(product, LOG2_E / math.sqrt(head), name="s")
        keep = b.columns(col_mask)
        if causal:
            last = b.sub(b.add(query, keys), queries)
            keep = b.and_(keep, b.le(b.columns(cols), b.rows(last)))
        s = b.where(keep, s, -math.inf, name="s")
        m_new = b.maximum(loop.args.m_i, b.max(s, 1), name="m_new")
        p = b.exp2(b.sub(s, b.rows(m_new)), name="p")
        alpha = b.exp2(b.sub(loop.args.m_i, m_new), name="alpha", comment="What the new maximum makes of old sums.")
        l_new = b.add(b.mul(loop.args.l_i, alpha), b.sum(p, 1))
        scaled = b.mul(loop.args.acc, b.rows(alpha))
        acc = b.dot(b.cast(p, element), tiles["v"], scaled, input_precision="ieee")
        b.yield_(m_i=m_new, l_i=l_new, acc=acc)
    # A row without keys has l_i = 0 and acc = 0.
    total = loop.results.l_i
    safe = b.where(b.gt(total, 0.0), total, 1.0)
    out = b.cast(b.truediv(loop.results.acc, b.rows(safe)), element)
    out_head = b.add(b.mul(b.mul(batch, b.cast(b.mul(kv_heads, group), i64)), b.cast(queries, i64)), 0)
    out_rows = b.add(b.add(out_head, b.mul(q_head, b.cast(queries, i64))), b.cast(query, i64))
    out_offs = b.add(b.mul(b.rows(out_rows), head), b.columns(offs_d))
    b.store(b.add(b.arg("out_ptr"), out_offs), out, mask=b.rows(row_mask))
    kernel = b.finish()

    dynamic = TensorType(element, [DYNAMIC_INDEX, DYNAMIC_INDEX, DYNAMIC_INDEX, head])
    main, body = function("main", [dynamic] * 3, dynamic, ["q", "k", "v"])
    q, k, v = body.args
    with ImplicitBuilder(body):
        batch, q_heads, queries = size(q, 0), size(q, 1), size(q, 2)
        kv_heads, keys = size(k, 1), size(k, 2)
        for value, hint in ((q_heads, "q_heads"), (queries, "queries"), (kv_heads, "kv_heads"), (keys, "keys")):
            value.name_hint = hint
        launch.RequireOp(keys, size(v, 2), "the lengths of k and v")
        group = arith.DivUIOp(q_heads, kv_heads).result
        group.name_hint = "group"
        out = launch.EmptyOp([batch, q_heads, queries], dynamic).result
        out.name_hint = "out"
        packed = arith.MuliOp(group, queries).result
        grid = [arith.CeilDivUIOp(packed, index(block_m)).result, arith.MuliOp(batch, kv_heads).result]
        all_strides = [stride(t, d) for t in (q, k, v) for d in range(4)]
        launch.KernelOp(
            "flash_kernel",
            grid,
            [q, k, v, out, *all_strides, kv_heads, group, queries, keys],
            num_warps=4,
            num_stages=2,
        )
        func.ReturnOp(out)
    return ModuleOp([kernel, main])


def elementwise(
    types: Sequence[Attribute], result: Attribute, body: Callable[..., SSAValue], block: int = 64
) -> ModuleOp:
    """main(x0 [N], x1 [N], ...) -> [N]: `body` on blocks of numbers, one program for each block of N."""
    arguments = {f"x{i}_ptr": tl.PtrType(type) for i, type in enumerate(types)}
    b = KernelBuilder("elementwise_kernel", {**arguments, "out_ptr": tl.PtrType(result), "n": i32})
    size_ = b.constexpr("BLOCK", block)
    offs = b.add(b.mul(b.program_id(0), size_), b.arange(0, size_), name="offs")
    mask = b.lt(offs, b.arg("n"), name="mask")
    loaded = [
        # 1 where there is nothing, so that nothing is divided by zero.
        b.load(b.add(b.arg(name), offs), mask=mask, other=None if is_float8(type) else 1, name=name[:2])
        for name, type in zip(arguments, types, strict=True)
    ]
    b.store(b.add(b.arg("out_ptr"), offs), body(b, *loaded), mask=mask)
    vector = [TensorType(type, [DYNAMIC_INDEX]) for type in types]
    out_type = TensorType(result, [DYNAMIC_INDEX])
    main, entry = function("main", list(vector), out_type, [f"x{i}" for i in range(len(types))])
    with ImplicitBuilder(entry):
        n = size(entry.args[0], 0)
        out = launch.EmptyOp([n], out_type).result
        launch.KernelOp("elementwise_kernel", [arith.CeilDivUIOp(n, index(block)).result], [*entry.args, out, n])
        func.ReturnOp(out)
    return ModuleOp([b.finish(), main])
