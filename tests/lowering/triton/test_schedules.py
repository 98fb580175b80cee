"""
Optional fields of `#attention.schedule`, run: none changes what is computed.

Kernels run in Triton's interpreter, which runs one program after the other, and are compared with float64 NumPy: the
combine in the last program to arrive, runs of the keys of all sequences, heads unpacked, launches that overlap (which
the interpreter does not do), strides that kernels are compiled for. Locked in beside the numbers: fields that do not
apply to an operation change nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import transform

from flashlower.lowering.triton.compile import compile_module_kernels
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

CASES = [case for case in CASES if case.dtype != "f64"]

FIELDS = [
    "kernels=1",
    "runs=5",
    "runs=7 pdl=1",
    "pack=0",
    "kernels=1 runs=3 pack=0 pdl=1",
    "constant-strides=1",
]


def pipeline(fields: str, splits: int = 3) -> str:
    return f"schedule-attention{{block-n=16 {fields}}},flash-decoding{{splits={splits}}},convert-attention-to-triton"


def source_of(case: AttentionCase, fields: str, splits: int = 3) -> str:
    return print_module(transform(case.module_text(), pipeline(fields, splits)))


def check(case: AttentionCase, fields: str, splits: int = 3) -> None:
    results: Any = call(source_of(case, fields, splits), "main", case.inputs())
    case.check(list(results) if isinstance(results, tuple) else [results])


@pytest.mark.parametrize("number", range(0, len(CASES), 3))
def test_features(number: int):
    """Each with one of the schedules; random mixtures meet the others."""
    check(CASES[number], FIELDS[number % len(FIELDS)])


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("seed", range(2))
def test_random_mixtures(fields: str, seed: int):
    rng = np.random.default_rng([seed, FIELDS.index(fields)])
    case = random_case(rng)
    check(dataclasses.replace(case, dtype="f32") if case.dtype == "f64" else case, fields, int(rng.choice([1, 2, 7])))


RAGGED = AttentionCase(keys=100, kv_lens=True, batch=(5,), kv_heads=2, group=3, sinks=True)
"""Its lengths hold 0, N, and one beyond N."""


@pytest.mark.parametrize("runs", [1, 9, 70])
def test_any_number_of_runs(runs: int):
    check(RAGGED, f"runs={runs}")
    assert f"RUNS: tl.constexpr = {runs}" in source_of(RAGGED, f"runs={runs}")


@pytest.mark.parametrize(
    "case",
    [
        dataclasses.replace(RAGGED, batch=(2, 3), steps=("causal",), queries=2),
        dataclasses.replace(RAGGED, batch=(2,), queries=30, steps=("finite_mask",)),
        dataclasses.replace(RAGGED, batch=(3,), keys=7),
    ],
    ids=str,
)
def test_runs_of_other_sequences(case: AttentionCase):
    """Two batch dimensions, rows over several tiles and sums beside LSE, sequences of one tile."""
    check(case, "runs=4")
    assert "RUNS: tl.constexpr" in source_of(case, "runs=4")


@pytest.mark.parametrize("case", [AttentionCase(), dataclasses.replace(RAGGED, batch=())], ids=str)
def test_runs_are_for_several_sequences_with_lengths(case: AttentionCase):
    assert source_of(case, "runs=4").replace(", runs = 4", "") == source_of(case, "")


def test_tickets_are_cleared_in_every_call():
    """What a workspace holds before does not matter: results are right with garbage in it, and again after that."""
    case = AttentionCase(keys=100, batch=(2,), group=3)
    source = source_of(case, "kernels=1")
    assert "_combine_kernel" not in source
    results = [np.empty_like(result) for result in call(source, "main", case.inputs())]
    workspace = np.full(1 << 20, 0xFF, np.uint8)
    for _ in range(2):
        call(source, "main", case.inputs(), out=results, workspace=workspace, workspace_size=workspace.nbytes)
        case.check(results)


def test_launches_overlap_on_gpus_that_can():
    case = AttentionCase(keys=100, dtype="bf16", kv_lens=True, batch=(2,))
    module = transform(case.module_text(), pipeline("pdl=1"))
    assert print_module(module).count("**_pdl()") == 2
    compiled = compile_module_kernels(module, ("cuda:80", "cuda:90", "hip:gfx942"))
    for (kernel, target), kernels in compiled.items():
        waits = kernels.asm.get("ptx", "").count("griddepcontrol.wait")
        assert waits == (target == "cuda:90"), (kernel, target)


@pytest.mark.parametrize("fields", ["kernels=1", "runs=5", "constant-strides=1"])
def test_kernels_compile_for_every_gpu(fields: str):
    case = dataclasses.replace(RAGGED, dtype="bf16", head_size=80, value_size=40)
    assert compile_module_kernels(transform(case.module_text(), pipeline(fields)))
