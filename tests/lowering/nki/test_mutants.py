"""Locks in that the tests of NKI kernels see mistakes: every mutant of an emitted kernel is killed.

By the checker of signatures, by a rule of the model, or by wrong numbers. The data uses every part of the kernels.
"""

import nki_model
import numpy as np
import pytest
from attention_cases import AttentionCase
from nki_kernels import relative_error
from nki_model.mutants import sample, survivors
from pipelines import transform

from flashlower.lowering.nki.printer import print_module

CASES = {
    "keys": (AttentionCase(keys=241, batch=(2,), kv_heads=2, group=3, kv_lens=True), ""),
    "rows": (AttentionCase(keys=700, batch=(4,), kv_heads=1, group=3, steps=("bias",), kv_lens=True), "rows"),
    "pages": (
        AttentionCase(keys=240, batch=(2,), kv_heads=2, group=3, kv_lens=True, page_size=48, rows=True, dtype="bf16"),
        "keys",
    ),
}
MUTANTS = 40


def is_wrong(description: str, source: str) -> bool:
    """
    Any number near the maximum may be taken off the logits of a row: softmax stays what it is. Rows of K that do not
    exist are zeros before the tensor engine sees them; the model's transpose moves numbers, whatever they are, and
    their logits are replaced.
    """
    if "tensor_reduce: nl.maximum" in description:
        return False
    line = int(description.removeprefix("line ").split(":")[0])
    statement = " ".join(source.splitlines()[line - 1 : line + 1])
    return not ("dropped tensor_copy_predicated" in description and "dst=k_rows" in statement)


@pytest.mark.parametrize("name", CASES)
def test_every_mutant_is_killed(name: str):
    nki_model.nki()
    case, arrangement = CASES[name]
    options = f"{{arrangement={arrangement}}}" if arrangement else ""
    source = print_module(transform(case.module_text(), f"convert-attention-to-nki{options}"))
    inputs = [array.astype(np.int32) if array.dtype == np.int64 else array for array in case.inputs()]

    def run(text: str) -> object:
        with nki_model.on_target("trn2"):
            return nki_model.run(text, "main", *inputs)

    # What the kernel gives itself, which is right: its own rounding is the same each time.
    expected = run(source)
    assert isinstance(expected, tuple)
    assert all(relative_error(got, want) <= 5e-3 for got, want in zip(expected, case.expected(), strict=True))
    chosen = [pair for pair in sample(source, MUTANTS, seed=0) if is_wrong(pair[0], source)]
    assert survivors(chosen, run, expected, 1e-4) == []
