"""
Locks in that the benchmarks run, without a GPU: every suite's cases can be built, and the smallest ones give right
results in Triton's interpreter. Times are for a GPU.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
