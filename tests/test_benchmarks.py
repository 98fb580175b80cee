"""
Locks in that the benchmarks run, without a GPU: every suite's cases can be built, and the smallest ones give right
results in Triton's interpreter. Times are for a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # From the root of the repository, as the documentation says; another package may be called benchmarks too.
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_attention_benchmark_checks_its_results(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = run("benchmarks.attention", "--suite", "tiny", "--out", str(out))
    assert done.returncode == 0, done.stderr
    cases = [line for line in done.stdout.splitlines() if line.startswith("| B")]
    assert len(cases) == 4 and not any("failed" in line or " - | - " in line for line in cases), done.stdout
    report = run("benchmarks.report", str(out))
    assert report.stdout == done.stdout


LIGHTLLM_CALL = """
import torch
from .int4kv_flash_decoding_stage1 import int4kv_flash_decode_stage1
from ..int8kv.normal.int8kv_flash_decoding_stage2 import finish

def token_decode_attention_flash_decoding(
    q, infer_state, cache_k, cache_k_scale, cache_v, cache_v_scale, out, alloc_tensor_func
):
    mid = alloc_tensor_func(q.shape, dtype=q.dtype, device="cuda")
    parts = {"k": cache_k, "k_scale": cache_k_scale, "v": cache_v, "v_scale": cache_v_scale}
    int4kv_flash_decode_stage1(q=q, **parts, table=infer_state.req_manager.req_to_token_indexs, mid=mid)
    finish(mid, out)
"""
LIGHTLLM_KERNEL = """
import torch
from lightllm.common.triton_utils.autotuner import autotune, Autotuner

@autotune(kernel_name="k", configs_gen_func=lambda: [{"num_stages": 2}], static_key_func=None, run_key_func=None)
def int4kv_flash_decode_stage1(q, k, k_scale, v, v_scale, table, mid, run_config=None):
    assert k.stride() == v.stride() and k.stride(0) == 4 * k_scale.stride(0), "one offset serves codes and scales"
    def values(codes, scale):
        bits = codes.view(torch.uint8).int()
        x = torch.stack([bits & 15, bits >> 4], -1).flatten(-2) - 7
        return x * scale.float().repeat_interleave(8, -1)
    for b, slots in enumerate(table.long()):
        group = q.shape[1] // k.shape[1]
        x, y = (values(c[slots], s[slots]).repeat_interleave(group, 1) for c, s in ((k, k_scale), (v, v_scale)))
        logits = torch.einsum("hd,nhd->hn", q[b], x) / q.shape[-1] ** 0.5
        mid[b] = torch.einsum("hn,nhd->hd", torch.softmax(logits, -1), y)
"""


def test_lightllm_is_read_from_a_checkout(tmp_path: Path) -> None:
    """A stand-in of LightLLM's files, with the imports that theirs have, gets its own slots, bytes and scales."""
    folder = tmp_path / "lightllm/common/basemodel/triton_kernel/att/decode_att"
    files = {
        folder / "int4kv/ppl_int4kv_flash_decoding.py": LIGHTLLM_CALL,
        folder / "int4kv/int4kv_flash_decoding_stage1.py": LIGHTLLM_KERNEL,
        folder / "int8kv/normal/int8kv_flash_decoding_stage2.py": "def finish(mid, out): out.copy_(mid)",
        tmp_path / "lightllm/__init__.py": "raise ImportError('a server')",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = """
import torch
from benchmarks.attention import error
from benchmarks.cases import Case
from benchmarks.peers import installed_quantized_peers
from benchmarks.quantized import LIGHTLLM_INT4, make_quantized_inputs
(inputs,) = make_quantized_inputs(Case(2, 4, 2, 64, 128), LIGHTLLM_INT4, "cpu", torch.float32)
(peer,) = (peer for peer in installed_quantized_peers("cpu") if peer.name == "LightLLM")
assert peer.supports(LIGHTLLM_INT4) and error(peer.prepare(inputs), inputs, True) < 3e-3 < peer.tolerance
"""
    environment = {**os.environ, "LIGHTLLM": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_memory_rows_read_every_word_once() -> None:
    """The kernel sums what it reads: as many times each word as the pages of a case have it."""
    script = """
import torch
from benchmarks import memory
from benchmarks.cases import Case, make_inputs
for case in (Case(2, 4, 2, 64, 256), Case(3, 4, 4, 128, 192, ragged=True)):
    (inputs,) = make_inputs(case, "cpu", torch.bfloat16)
    for paged in (True, False):
        pages = memory.pages_of(inputs, paged=paged).long()
        assert len(pages) == sum(-(-length // 64) for length in case.lengths())
        expected = sum(int(cache.view(torch.int32)[pages].sum(dtype=torch.int64)) for cache in (inputs.k, inputs.v))
        found = int(memory.prepare(inputs, paged=paged)().sum(dtype=torch.int64))
        assert (found - expected) % 2**32 == 0
"""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_report_compares_with_peers_and_memory() -> None:
    """Memory rows are no peers; those in pages are compared apart."""
    script = """
from benchmarks.report import tables
times = {"flashlower paged": 200, "flashlower": 190, "A": 195, "B paged": 220, "memory, paged": 180, "memory": 171}
rows = [
    {"suite": "decode", "case": "c", "peer": peer, "paged": "paged" in peer, "bound": "memory" in peer,
     "seconds": us * 1e-6, "kv_bytes": 600_000_000}
    for peer, us in times.items()
]
text = tables({"machine": {"name": "NVIDIA H100 80GB HBM3", "torch": "", "triton": ""}, "rows": rows})
for line in (
    "| case | flashlower paged | flashlower | A | B paged | best other / best ours | memory, paged | memory |",
    "| c | 200.0 | 190.0 | 195.0 | 220.0 | 1.03 | 180.0 | 171.0 |",
    "- Best of ours against the best of the others: geometric mean 1.026, least 1.026",
    "- Ours in pages against the best of the others: geometric mean 0.975, least 0.975",
    "- Ours in pages against the best of the others in pages: geometric mean 1.100, least 1.100",
    "- flashlower paged, K and V of 500 MB and more: 3.00 TB/s, 89.6% of the data sheet, "
    "90.0% of what a kernel that only reads does",
):
    assert line in text.splitlines(), text
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_loops_over_keys_have_few_instructions() -> None:
    """
    What makes codes fast, in the machine code for an H100; two kernels are compiled.

    All of a program's warps unpack what is theirs alone, without conversions of integers; nothing of 16 bits goes
    through shared memory, in which codes are all that is copied; 8-bit floats take one conversion for two codes.
    """
    pytest.importorskip("triton", reason="kernels are compiled where Triton can be installed")
    done = run("benchmarks.instructions", "--json", "--formats", "int4 group 8, L", "fp8 per tensor, h")
    assert done.returncode == 0, done.stderr
    int4, fp8 = rows = json.loads(done.stdout)
    for row in rows:
        assert row["counts"]["matrix"] == 1
        assert not [opcode for opcode in row["opcodes"] if opcode.startswith(("I2F", "STS.U16", "STS.U8"))]
    # 256 codes are 4 pairs a lane of a warp: a mask, a sum and a product for each, a shift for most.
    assert int4["counts"]["all"] <= 28 and int4["counts"]["bits"] <= 9
    assert fp8["counts"]["all"] <= 20 and fp8["counts"]["conversions"] <= 4.5


@pytest.mark.parametrize("hardware", ["h100", "h200"])
def test_choices_for_codes_are_within_5_percent_of_the_best_that_was_measured(hardware: str) -> None:
    path = f"benchmarks/schedules/quantized/{hardware}.json"
    done = run("benchmarks.tune_quantized", "--hardware", hardware, "--compare", path)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    ratios = {name: ratio for _, name, _, _, ratio in rows if ratio != "-"}
    # Every shape and format is in a run that tried the choice, which is that of the target.
    assert ratios.keys() == {row[1] for row in rows} and all(float(ratio) <= 1.05 for ratio in ratios.values()), rows


def test_counters_are_read_from_what_ncu_prints() -> None:
    """The kernels that put splits together are left out, and the columns have their units."""
    script = """
from benchmarks.counters import METRICS, rows_of, table
names = ["ID", "Kernel Name", *(metric for metric, _ in METRICS.values())]
lines = [names, ["", "", *("%" for _ in METRICS)]]
counted = ["366,900", *("39.5" for _ in list(METRICS)[1:])]
lines += [[str(i), name, *counted] for i, name in enumerate(["a_partial", "a_combine"])]
text = "==PROF== Connected\\n" + "\\n".join(",".join(f'"{each}"' for each in line) for line in lines)
(row,) = rows_of(text)
assert row["us"] == 366.9 and row["issue slots, %"] == 39.5
lines = table({"machine": {"name": "H100"}, "rows": [{"case": "B1", "format": "bf16", **row}]}).splitlines()
assert lines[-1].startswith("| B1 | bf16 | 367 | 39.5 |")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_counters_ask_for_ncu() -> None:
    command = [sys.executable, "-m", "benchmarks.counters"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("ncu is not on the PATH: install Nsight Compute")


def test_unknown_suite_is_refused() -> None:
    done = run("benchmarks.attention", "--suite", "huge")
    assert done.returncode == 2 and "no suite huge; there are decode," in done.stderr


def test_cases_count_bytes_and_operations() -> None:
    script = """
from benchmarks.cases import DECODE, Case
assert len(DECODE) == len(set(DECODE)) == 24
# K and V of 1024 tokens, 8 heads of 128 bfloat16; two products of 32 heads.
assert Case(1, 32, 8, 128, 1024).kv_bytes() == 2 * 1024 * 8 * 128 * 2
assert Case(1, 32, 8, 128, 1024).flops() == 4 * 1024 * 32 * 128
# Two queries see 1023 and 1024 keys; a window of 10 leaves 10 each, and 11 keys to read.
assert Case(1, 32, 8, 128, 1024, queries=2, causal=True).flops() == 4 * 2047 * 32 * 128
assert Case(1, 32, 8, 128, 1024, queries=2, window=10).flops() == 4 * 20 * 32 * 128
assert Case(1, 32, 8, 128, 1024, queries=2, window=10).kv_bytes() == 2 * 11 * 8 * 128 * 2
lengths = Case(64, 32, 8, 128, 32768, ragged=True).lengths()
assert len(lengths) == 64 and 128 <= min(lengths) < 400 and 20000 < max(lengths) <= 32768
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
