"""Locks in that the tests of NKI kernels see mistakes: every mutant of an emitted kernel is killed.

By the checker of signatures, by a rule of the model, or by wrong numbers. The data uses every part of the kernels.
"""

from dataclasses import replace

import nki_model
import numpy as np
import pytest
from attention_cases import AttentionCase
from nki_kernels import relative_error
from nki_model.mutants import sample, survivors
from pipelines import transform

from flashlower.lowering.nki.printer import print_module

BASE = AttentionCase(batch=(3,), kv_heads=2, group=3, kv_lens=True)
"""Lengths are N + 7, 0, and others between."""

PAGES = (
    replace(BASE, batch=(4,), keys=252, page_size=84, rows=True, dtype="bf16", seed=1997),
    "schedule-attention{keys-on-partitions=1}",
)
"""
Nobody has the first row of the table, nor the first page of the pool; somebody has the last row, and somebody the first
slot alone of a last page.
"""

CASES = {
    # A length beyond the last tile of keys, which N does not fill.
    "keys": (replace(BASE, keys=250), ""),
    # The maximum changes in a whole step after the first, and in the last; lengths end in both.
    "rows": (
        replace(BASE, batch=(4,), keys=300, kv_heads=1, group=4, steps=("bias",), seed=21),
        "schedule-attention{block-n=128 keys-on-partitions=0}",
    ),
    "pages": PAGES,
    "pages, trn1": PAGES,
}
"""Cases, and the passes before `convert-attention-to-nki`."""
MUTANTS = 40


def is_wrong(description: str, source: str) -> bool:
    """
    Whether a mutant is another kernel.

    Any number near the maximum may be taken off the logits of a row, of small ones its negative too: softmax stays what
    it is (`test_convert.test_large_logits` sees that one). Rows of K that do not exist are zeros before the tensor
    engine sees them; the model's transpose moves numbers, whatever they are, and their logits are replaced. Only the
    first sequence has a length beyond N, so those of the others mask what the last tile has beyond N.
    """
    line = int(description.removeprefix("line ").split(":")[0])
    statement = " ".join(source.splitlines()[line - 1 : line + 1])
    return not (
        "tensor_reduce: nl.maximum" in description
        or "tensor_reduce: negate" in description
        or ("dropped tensor_tensor" in description and "dst=k_rows" in statement)
        or ("slice 1: upper bound" in description and "memset(dst=scores[" in statement)
    )


@pytest.mark.parametrize("name", CASES)
def test_every_mutant_is_killed(name: str):
    nki_model.nki()
    case, passes = CASES[name]
    target = "trn1" if name.endswith("trn1") else "trn2"
    pipeline = ",".join(filter(None, (passes, f"convert-attention-to-nki{{target={target}}}")))
    source = print_module(transform(case.module_text(), pipeline))
    inputs = [array.astype(np.int32) if array.dtype == np.int64 else array for array in case.inputs()]

    def run(text: str) -> object:
        with nki_model.on_target(target):
            return nki_model.run(text, "main", *inputs)

    # What the kernel gives itself, which is right: its own rounding is the same each time.
    expected = run(source)
    assert isinstance(expected, tuple)
    assert all(relative_error(got, want) <= 5e-3 for got, want in zip(expected, case.expected(), strict=True))
    chosen = [pair for pair in sample(source, MUTANTS, seed=0) if is_wrong(pair[0], source)]
    assert survivors(chosen, run, expected, 1e-4) == []
