"""Locks in that `decompose-attention` says of cache updates what NumPy's interpreter does, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from update_cases import UpdateCase, random_case
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.rewrites.decompose_attention import DecomposeAttentionPass


def check(case: UpdateCase) -> None:
    module, inputs = parse_module(case.module_text()), case.inputs()
    expected = run_module(module, inputs)
    DecomposeAttentionPass().apply(make_context(), module)
    module.verify()
    assert "attention." not in str(module)
    for found, want in zip(run_module(module, inputs), expected, strict=True):
        same = found == want
        if want.dtype.kind != "i":
            same |= (found != found) & (want != want)
        assert same.all(), case


@pytest.mark.parametrize("seed", range(40))
def test_random_updates(seed: int) -> None:
    check(random_case(np.random.default_rng([seed, 23])))


def test_dynamic_sizes_are_refused() -> None:
    text = """
    func.func @main(%x: tensor<?x8xf32>, %k: tensor<9x8xf32>, %at: tensor<i32>) -> tensor<9x8xf32> {
      %c = attention.update_cache new(%x[m, k] : tensor<?x8xf32>) cache(%k[n, k] : tensor<9x8xf32>)
          positions(%at[] : tensor<i32>)
      func.return %c : tensor<9x8xf32>
    }"""
    with pytest.raises(DiagnosticException, match=r"attention.update_cache has dynamic sizes \(m\)"):
        DecomposeAttentionPass().apply(make_context(), parse_module(text))
