"""Run Amazon's published attention kernels on the model, and compare them with float64 NumPy.

    python tests/nki_model/run_published.py FOLDER [FOLDER ...] [--only TEXT]

FOLDER holds a checkout of nki-library or nki-samples (https://github.com/aws-neuron). Their kernels run unmodified.
The table goes to standard output; the exit status is 1 if a kernel breaks a rule or gives other numbers.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["FLASHLOWER_NKI"] = "model"
os.environ.setdefault("NKILIB_LOG_LEVEL", "OFF")
import nki_model

nki = nki_model.nki()
BF16 = np.dtype(ml_dtypes.bfloat16)
F32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Case:
    """A configuration: what it is, where it runs, and how."""

    kernel: str
    what: str
    run: Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]
    options: dict[str, Any] = field(default_factory=dict)
    target: str = "trn2"
    cores: int | None = None
    dtype: np.dtype = BF16

    @property
    def limit(self) -> float:
        """The relative error allowed. attention_cte computes in bf16 whatever its operands are."""
        return 1e-5 if self.dtype == F32 and self.kernel != "attention_cte" else 1e-2


def softmax_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, keep: np.ndarray, sink: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64: attention over the keys that `keep` allows, with each row's maximum and sum of exponentials."""
    logits = np.where(keep, q @ np.swapaxes(k, -1, -2), -np.inf)
    top = logits.max(axis=-1, keepdims=True)
    if sink is not None:
        top = np.maximum(top, sink)
    weights = np.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    if sink is not None:
        total = total + np.exp(sink - top)
    return weights / total @ v, top, total


# attention_cte: prefill


def prefill(module: ModuleType, case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """attention_cte. Options: batch, group, m queries, n keys, d, causal, window, sink, prior, stats, cp, bounds."""
    o = {"batch": 2, "group": 1, "m": 512, "n": None, "d": 64, "causal": True, "window": 0, **case.options}
    batch, group, m, d = o["batch"], o["group"], o["m"], o["d"]
    n, prior, used = o["n"] or m, o.get("prior", 0), o.get("used", 0)
    scaled = bool(o["window"] or prior or "cp" in o or "bounds" in o)
    draw = lambda *shape: rng.standard_normal(shape).astype(case.dtype)  # noqa: E731
    q = (rng.standard_normal((batch, m, d)) * (d**-0.5 if scaled else 1)).astype(case.dtype)
    k, v = draw(batch // group, n, d), draw(batch // group, n, d)
    options: dict[str, Any] = {"scale": 1.0 if scaled else d**-0.5, "causal_mask": o["causal"]}
    options |= {"tp_q": o.get("tp_q", True), "tp_k": o.get("tp_k", True), "tp_out": o.get("tp_out", False)}
    if o["window"]:
        options["sliding_window"] = o["window"]
    if "mm_out_dtype" in o:
        options["mm_out_dtype"] = o["mm_out_dtype"]
    offset = o.get("cp", 0)
    if "cp" in o:
        options |= {"cp_offset": np.array([[offset]], np.int32), "global_cp_deg": o["degree"]}
        options["cp_offset"] = options["cp_offset"].astype(np.float32)
    rows, columns = offset + np.arange(m)[:, None], np.arange(n)[None, :]
    keep = (columns <= rows) if o["causal"] else np.ones((m, n), np.bool_)
    if o["window"]:
        keep &= columns > rows - o["window"]
    if "bounds" in o:
        low, high = o["bounds"](m)
        options |= {"bound_min": low.reshape(-1, 1), "bound_max": high.reshape(-1, 1)}
        keep &= (columns >= low.reshape(-1, 1)) & (columns < high.reshape(-1, 1))
    keys, values = k, v
    if prior:
        k_prior, v_prior = draw(batch // group, prior, d), draw(batch // group, prior, d)
        options |= {"k_prior": k_prior if options["tp_k"] else np.ascontiguousarray(k_prior.transpose(0, 2, 1))}
        options |= {"v_prior": v_prior, "prior_used_len": np.array([used], np.int32)}
        options["prior_used_len"] = options["prior_used_len"].astype(np.float32)
        keys, values = (np.concatenate([old[:, :used], new], 1) for old, new in ((k_prior, k), (v_prior, v)))
        before = np.ones((m, used), np.bool_)
        if o["window"]:
            before &= np.arange(used)[None, :] > rows + used - o["window"]
        keep = np.concatenate([before, keep], axis=1)
    sink = rng.standard_normal((batch, 1)).astype(case.dtype) if o.get("sink") else None
    if sink is not None:
        options["sink"] = sink
    options["cache_softmax"] = o.get("stats", False)
    turn = lambda x, flag: x if flag else np.ascontiguousarray(x.transpose(0, 2, 1))  # noqa: E731
    kernel = module.attention_cte if case.cores is None else module.attention_cte[case.cores]
    got = nki.simulate(kernel)(turn(q, options["tp_q"]), turn(k, options["tp_k"]), v, **options)
    wide = [np.repeat(x.astype(np.float64), group, axis=0) for x in (keys, values)]
    mixed = None if sink is None else sink.astype(np.float64)[:, :, None]
    factor = options["scale"]
    out, top, total = softmax_attention(q.astype(np.float64) * factor, *wide, keep, mixed)
    out = out.transpose(0, 2, 1) if options["tp_out"] else out
    if not o.get("stats"):
        return [got], [out]
    folded = [np.zeros((batch, -(-m // 128) * 128)) for _ in range(2)]
    folded[0][:, :m], folded[1][:, :m] = -top[..., 0], 1 / total[..., 0]
    folded = [np.swapaxes(x.reshape(batch, -1, 128), 1, 2) for x in folded]
    return list(got), [out, *folded]


# attention_tkg: decode


def decode(library: ModuleType, case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """attention_tkg. Options: batch, heads, active, prior (and full), d, block, and the kernel's own flags."""
    tkg, utils = library, importlib.import_module(library.__name__ + "_utils")
    o = {"batch": 4, "heads": 2, "active": 1, "prior": 256, "d": 64, "block": 0, "window": 0, **case.options}
    b, h, s, n, d = o["batch"], o["heads"], o["active"], o["prior"], o["d"]
    full, block, flags = o.get("full", n), o["block"], o.get("flags", {})
    positions = flags.get("use_pos_id", False)
    rope, on_chip = flags.get("fuse_rope", False), flags.get("qk_in_sb", False)
    cfg = utils.AttnTKGConfig(b, h, s, n, full, d, block, **flags)
    scale = 1 if rope else d**-0.5
    draw = lambda *shape: rng.standard_normal(shape).astype(case.dtype)  # noqa: E731
    q = (rng.standard_normal((b, h, s, d)) * scale).astype(case.dtype)
    k_new, v_new, k_old, v_old = draw(b, s, d), draw(b, s, d), draw(b, full, d), draw(b, full, d)
    used = (np.arange(b) * 3 + n // 4 * 3) % (n - s)
    keep = np.zeros((b, s, n), np.bool_)
    keep[:, :, : n - s] = np.arange(n - s)[None, None, :] < used[:, None, None]
    keep[:, :, n - s :] = np.tril(np.ones((s, s), np.bool_))
    mask = np.broadcast_to(keep[:, None], (b, h, s, n)).transpose(3, 0, 1, 2)
    if positions:
        mask = np.broadcast_to(np.tril(np.ones((s, s), np.bool_)).T[:, None, None, :], (s, b, h, s))
    table, caches = None, [k_old, v_old]
    if block:
        count = b * full // block
        table = rng.permutation(count).reshape(b, full // block).astype(np.uint32)
        pools = [np.zeros((count, block, d), case.dtype) for _ in range(2)]
        for pool, old in zip(pools, caches):
            pool[table.reshape(-1)] = old.reshape(count, block, d)
        caches = pools
    else:
        caches = [k_old[:, None] if flags.get("tp_k_prior") else k_old.transpose(0, 2, 1)[:, None], v_old[:, None]]
    frequencies = rng.random((d // 2, 1)).astype(np.float32) if rope else None
    sink = rng.standard_normal((h, 1)).astype(np.float32) if o.get("sink") else None
    q_in, k_in = (q.transpose(3, 0, 1, 2).reshape(d, -1), k_new.transpose(2, 0, 1).reshape(d, -1))
    arrays = [q_in if on_chip else q, k_in if on_chip else k_new[:, None], v_new[:, None], *caches]
    arrays += [mask.astype(np.uint8)]
    ids = np.broadcast_to(used[:, None], (b, s)).astype(np.float32) if rope or positions else None
    arrays = [np.ascontiguousarray(x) for x in arrays]

    @nki.jit
    def kernel(q, k_new, v_new, k_old, v_old, mask, frequencies, ids, sink, table):
        return _call_decode(tkg, cfg, q, k_new, v_new, k_old, v_old, mask, frequencies, ids, sink, table)

    got = nki.simulate(kernel if case.cores is None else kernel[case.cores])(*arrays, frequencies, ids, sink, table)
    qf, kf = q.astype(np.float64), k_new.astype(np.float64)
    if rope:
        angles = np.concatenate([frequencies[:, 0]] * 2).astype(np.float64)[None, None, :] * ids[:, :, None]
        qf = _rotate(qf, angles[:, None]) * d**-0.5
        kf = _rotate(kf, angles)
    keys, values = k_old[:, :n].astype(np.float64), v_old[:, :n].astype(np.float64)
    keys[:, n - s :], values[:, n - s :] = kf, v_new
    column = None if sink is None else sink.astype(np.float64)[None, :, :, None]
    out = softmax_attention(qf, keys[:, None], values[:, None], keep[:, None], column)[0]
    out = out.transpose(0, 1, 3, 2)
    if flags.get("out_in_sb"):
        out = out.transpose(2, 0, 1, 3).reshape(d, -1)
    results, wanted = [got[0]], [out]
    if rope and not flags.get("k_out_in_sb"):
        results, wanted = [*results, got[1]], [*wanted, kf.transpose(0, 2, 1)[:, None]]
    return results, wanted


def _rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    first, second = np.split(x, 2, axis=-1)
    return x * np.cos(angles) + np.concatenate([-second, first], axis=-1) * np.sin(angles)


def _call_decode(tkg, cfg, q, k_new, v_new, k_old, v_old, mask, frequencies, ids, sink, table):
    """attention_tkg is called by other kernels: this is such a kernel, which gives it its SBUF and its results."""
    isa, nl = nki.isa, nki.language
    sbm = tkg.SbufManager(0, nl.tile_size.total_available_sbuf_size - 16 * 1024)
    sbm.open_scope()
    b, h, s, d = cfg.bs, cfg.q_head, cfg.s_active, cfg.d_head
    shape, k_shape = (b, h, d, s), (b, 1, d, s)
    out = (
        sbm.alloc_stack((d, b * h * s), dtype=q.dtype, buffer=nl.sbuf)
        if cfg.out_in_sb
        else nl.ndarray(shape, dtype=q.dtype, buffer=nl.shared_hbm)
    )
    k_out = None
    if cfg.fuse_rope:
        k_out = nl.ndarray(k_shape, dtype=q.dtype, buffer=nl.shared_hbm)
    if cfg.qk_in_sb:
        inputs = []
        for tensor in (q, k_new):
            inputs.append(sbm.alloc_stack(tensor.shape, dtype=tensor.dtype, buffer=nl.sbuf))
            isa.dma_copy(inputs[-1], tensor)
        q, k_new = inputs
    out, k_out = tkg.attention_tkg(
        q, k_new, v_new, k_old, v_old, mask, out, cfg, sbm, frequencies, ids, None, sink, table, k_out
    )
    if cfg.out_in_sb:
        copy = nl.ndarray(out.shape, dtype=out.dtype, buffer=nl.shared_hbm)
        isa.dma_copy(copy, out)
        out = copy
    sbm.close_scope()
    return (out, k_out) if cfg.fuse_rope else (out,)


# attention_bwd


def backward(module: ModuleType, case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """attention_bwd. Options: batch, heads, kv, n, d, causal, window, packed."""
    o = {"batch": 1, "heads": 2, "kv": 2, "n": 512, "d": 64, "causal": True, "window": 0, **case.options}
    b, h, kv, n, d = o["batch"], o["heads"], o["kv"], o["n"], o["d"]
    group, scale = h // kv, d**-0.5
    q, dy = (rng.standard_normal((b, h, d, n)).astype(case.dtype) for _ in range(2))
    k, v = (rng.standard_normal((b, kv, d, n)).astype(case.dtype) for _ in range(2))
    rows, columns = np.arange(n)[:, None], np.arange(n)[None, :]
    keep = columns <= rows if o["causal"] else np.ones((n, n), np.bool_)
    if o["window"]:
        keep &= columns > rows - o["window"]
    options: dict[str, Any] = {"use_causal_mask": o["causal"], "mixed_precision": True}
    options |= {"sliding_window": o["window"]} if o["window"] else {}
    if o.get("packed"):
        low, high = _documents(n)
        options |= {"bound_min": low, "bound_max": high}
        keep &= (columns >= low[:, None]) & (columns < high[:, None])
    wide = [np.swapaxes(x.astype(np.float64), 2, 3) for x in (q, np.repeat(k, group, 1), np.repeat(v, group, 1), dy)]
    qf, kf, vf, dyf = wide
    out, top, total = softmax_attention(qf * scale, kf, vf, keep)
    weights = np.exp(np.where(keep, qf * scale @ np.swapaxes(kf, 2, 3), -np.inf) - top) / total
    inner = weights * (dyf @ np.swapaxes(vf, 2, 3) - (dyf * out).sum(axis=-1, keepdims=True))
    grads = [inner @ kf * scale, np.swapaxes(inner, 2, 3) @ qf * scale, np.swapaxes(weights, 2, 3) @ dyf]
    wanted = [np.swapaxes(grads[0], 2, 3)]
    wanted += [np.swapaxes(g, 2, 3).reshape(b, kv, group, d, n).sum(axis=2) for g in grads[1:]]
    stats = np.swapaxes((top + np.log(total))[..., 0].reshape(b, h, n // 128, 128), 2, 3).astype(np.float32)
    o_in = np.swapaxes(out, 2, 3).astype(case.dtype)
    kernel = module.attention_bwd if case.cores is None else module.attention_bwd[case.cores]
    got = nki.simulate(kernel)(q, k, v, np.ascontiguousarray(o_in), dy, np.ascontiguousarray(stats), **options)
    return list(got)[:3], wanted


# nki-samples' decode kernels


def sample_single(module: ModuleType, case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """decode_attention_fwd: one head, at most 128 keys."""
    d, n = case.options["d"], case.options["n"]
    q, k, v = (rng.standard_normal((d, size)).astype(np.float32) for size in (1, n, n))
    got = nki.simulate(module.decode_attention_fwd)(q, k, v)
    return [got], [softmax_attention(q.T.astype(np.float64) * d**-0.5, k.T, v.T, np.ones((1, n), np.bool_))[0]]


def sample_grouped(module: ModuleType, case: Case, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """decode_attention_gqa_fwd."""
    d, n, heads, kv = (case.options[name] for name in ("d", "n", "heads", "kv"))
    q = rng.standard_normal((d, heads)).astype(np.float32)
    k, v = (rng.standard_normal((kv, d, n)).astype(np.float32) for _ in range(2))
    got = nki.simulate(module.decode_attention_gqa_fwd)(q, k, v, heads, kv)
    grouped = q.T.astype(np.float64).reshape(kv, heads // kv, d) * d**-0.5
    out = softmax_attention(grouped, k.transpose(0, 2, 1), v.transpose(0, 2, 1), np.ones((1, n), np.bool_))[0]
    return [got], [out.reshape(heads, d)]


def _documents(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Three documents packed into a sequence: each query's first key and the one after its last."""
    ends = np.array([m // 3, m // 2, m])
    which = np.searchsorted(ends, np.arange(m), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return starts[which].astype(np.float32), ends[which].astype(np.float32)


_ROPE = {"use_pos_id": True, "fuse_rope": True}
_SB = {"qk_in_sb": True}
_TP = {"qk_in_sb": True, "tp_k_prior": True}
_BLOCK = {"qk_in_sb": True, "tp_k_prior": True, "use_pos_id": True, "strided_mm1": False}
CASES = [
    *(Case("attention_cte", "causal", prefill, {"m": 512}, target) for target in ("trn1", "trn2", "trn3")),
    Case("attention_cte", "causal, float32", prefill, {"m": 384}, dtype=F32),
    Case("attention_cte", "full", prefill, {"causal": False, "m": 256, "n": 640}),
    Case("attention_cte", "causal, 300 queries", prefill, {"m": 300}),
    Case("attention_cte", "causal, d = 128, group 4", prefill, {"batch": 4, "group": 4, "d": 128, "m": 640}),
    Case("attention_cte", "d = 100", prefill, {"d": 100, "m": 256}),
    Case("attention_cte", "q, k stored d-major", prefill, {"tp_q": False, "tp_k": False}),
    Case("attention_cte", "result d-major", prefill, {"tp_out": True}),
    Case("attention_cte", "sinks", prefill, {"sink": True}),
    Case("attention_cte", "statistics returned", prefill, {"stats": True}),
    Case("attention_cte", "window 100", prefill, {"window": 100, "m": 768}),
    Case("attention_cte", "window 300", prefill, {"window": 300, "m": 1024}),
    Case("attention_cte", "window 64, sinks", prefill, {"window": 64, "m": 512, "sink": True}),
    Case("attention_cte", "prefix of 200 in 512", prefill, {"prior": 512, "used": 200, "m": 256}),
    Case("attention_cte", "prefix, window", prefill, {"prior": 512, "used": 300, "m": 256, "window": 128}),
    Case("attention_cte", "packed documents", prefill, {"bounds": _documents, "m": 512}),
    Case("attention_cte", "context parallel", prefill, {"cp": 512, "degree": 3, "m": 256, "n": 768}),
    Case("attention_cte", "two cores by batch", prefill, {}, cores=2),
    Case("attention_cte", "two cores by sequence", prefill, {"batch": 1, "m": 1024}, cores=2),
    Case("attention_cte", "two cores, group 2", prefill, {"batch": 4, "group": 2, "m": 384}, "trn3", 2),
    Case("attention_cte", "bf16 PSUM", prefill, {"mm_out_dtype": "bfloat16"}, "trn3"),
    Case("attention_cte", "10,752 keys, sections", prefill, {"batch": 1, "m": 128, "n": 10752, "causal": False}),
    *(Case("attention_tkg", "mask given", decode, {"flags": _TP}, target) for target in ("trn2", "trn3")),
    Case("attention_tkg", "K d-major", decode, {"flags": _SB}),
    Case("attention_tkg", "float32", decode, {"flags": _TP}, dtype=F32),
    Case("attention_tkg", "5 active, d = 128", decode, {"active": 5, "prior": 512, "d": 128, "flags": _TP}),
    Case("attention_tkg", "mask from positions", decode, {"active": 3, "flags": {**_SB, "use_pos_id": True}}),
    Case("attention_tkg", "RoPE", decode, {"flags": {**_ROPE, "tp_k_prior": True}, "active": 4, "full": 512}),
    Case("attention_tkg", "RoPE, sinks", decode, {"sink": True, "heads": 4, "flags": {**_ROPE, "tp_k_prior": True}}),
    Case("attention_tkg", "sinks", decode, {"sink": True, "heads": 8, "flags": _TP}),
    Case("attention_tkg", "result in SBUF", decode, {"flags": {**_TP, "out_in_sb": True}, "prior": 384}),
    Case("attention_tkg", "not strided", decode, {"flags": {**_TP, "strided_mm1": False}}),
    Case("attention_tkg", "192 rows", decode, {"batch": 24, "heads": 8, "prior": 128, "flags": _SB}),
    Case("attention_tkg", "two cores by batch", decode, {"prior": 128, "flags": _TP}, cores=2),
    Case("attention_tkg", "two cores by keys", decode, {"prior": 512, "flags": _TP}, cores=2),
    Case("attention_tkg", "two cores, RoPE", decode, {"prior": 1024, "flags": _ROPE}, cores=2),
    Case("attention_tkg", "block table", decode, {"prior": 2048, "block": 16, "flags": _BLOCK}),
    Case(
        "attention_tkg", "blocks, two cores", decode, {"prior": 4096, "block": 32, "batch": 2, "flags": _BLOCK}, cores=2
    ),
    Case("attention_tkg", "16,384 keys", decode, {"batch": 1, "prior": 16384, "flags": _TP}),
    Case("attention_bwd", "causal", backward, {}, dtype=F32),
    Case("attention_bwd", "full, d = 128", backward, {"causal": False, "d": 128, "n": 512}, dtype=F32),
    Case("attention_bwd", "causal, group 4", backward, {"heads": 4, "kv": 1}),
    Case("attention_bwd", "window 200", backward, {"window": 200, "n": 1024}),
    Case("attention_bwd", "packed documents", backward, {"packed": True}),
    Case("attention_bwd", "two cores", backward, {"batch": 2}, "trn3", 2),
    Case("decode_attention_fwd", "d = 64, 128 keys", sample_single, {"d": 64, "n": 128}, dtype=F32),
    Case("decode_attention_fwd", "d = 128, 77 keys", sample_single, {"d": 128, "n": 77}, "trn1", dtype=F32),
    *(
        Case(
            "decode_attention_gqa_fwd",
            "group 4",
            sample_grouped,
            {"d": 128, "n": 512, "heads": 8, "kv": 2},
            t,
            None,
            F32,
        )
        for t in ("trn1", "trn2", "trn3")
    ),
]


def _module(kernel: str, folders: list[Path]) -> ModuleType | None:
    """The module that has the kernel, from the first folder that holds its repository."""
    for folder in folders:
        if kernel in ("attention_cte", "attention_tkg", "attention_bwd"):
            source = folder / "src"
            if (source / "nkilib_src" / "nkilib" / "core" / "attention" / f"{kernel}.py").exists():
                sys.path.insert(0, str(source))
                return importlib.import_module(f"nkilib_src.nkilib.core.attention.{kernel}")
        path = folder / "contributed" / "decode_attention.py"
        if kernel.startswith("decode_attention") and path.exists():
            spec = importlib.util.spec_from_file_location("decode_attention", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return None


def run_case(case: Case, folders: list[Path]) -> tuple[str, str, float]:
    """The error as text, the verdict, and the seconds it took."""
    module = _module(case.kernel, folders)
    if module is None:
        return "", "not found", 0.0
    start = time.perf_counter()
    note = ""
    try:
        with nki_model.on_target(case.target), contextlib.redirect_stdout(io.StringIO()):
            try:
                results, wanted = case.run(module, case, np.random.default_rng(7))
            except nki.RuleError as error:
                if error.rule not in ("uninitialised", "clobbered"):
                    raise
                note = "; reads unwritten memory"
                with nki.poison_unwritten():
                    results, wanted = case.run(module, case, np.random.default_rng(7))
    except nki.RuleError as error:
        return "", f"{error}", time.perf_counter() - start
    except AssertionError as error:
        return "", f"refused: {error}", time.perf_counter() - start
    errors = []
    for got, want in zip(results, wanted):
        # Rows that the kernel pads are compared nowhere: their reference is 0.
        there = want != 0
        difference = np.where(there, got.astype(np.float64) - want, 0)
        errors.append(float(np.linalg.norm(difference) / np.linalg.norm(want)))
    worst = max(errors)
    return f"{worst:.1e}", (f"ok{note}" if worst < case.limit else "WRONG"), time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, help="checkouts of nki-library, nki-samples")
    parser.add_argument("--only", default="", help="run the cases whose kernel or name contains this")
    options = parser.parse_args()
    print("| kernel | configuration | dtype | target | cores | relative error | verdict |")
    print("|---|---|---|---|---|---|---|")
    bad = 0
    for case in CASES:
        if options.only not in f"{case.kernel} {case.what} {case.target}":
            continue
        error, verdict, seconds = run_case(case, options.folders)
        bad += not verdict.startswith(("ok", "not found"))
        name = "bf16" if case.dtype == BF16 else "f32"
        cells = (f"`{case.kernel}`", case.what, name, case.target, str(case.cores or 1), error, verdict)
        print("| " + " | ".join(cells) + " |", flush=True)
        print(f"{seconds:.1f} s", file=sys.stderr, flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
