"""Locks in that a PyTorch module becomes a module that `compile` and `interpret` take, with PyTorch's own numbers.

torch-mlir is an extra: without it there is one error that names it.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import flashlower as fl


def test_without_torch_mlir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_mlir.fx", None)
    with pytest.raises(ImportError, match=r"pip install 'flashlower\[torch,torch-mlir\]'"):
        fl.from_torch(torch.nn.Identity(), torch.zeros(3))


@pytest.mark.parametrize("as_module", [False, True])
def test_attention_of_pytorch(as_module: bool) -> None:
    pytest.importorskip("torch_mlir", reason="the extra torch-mlir is not installed")
    q, k, v = torch.randn(2, 6, 5, 24), torch.randn(2, 2, 90, 24), torch.randn(2, 2, 90, 24)

    class Attention(torch.nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    module = fl.from_torch(Attention() if as_module else Attention().forward, q, k, v)
    want = Attention()(q, k, v).double().numpy()
    arrays = [x.numpy() for x in (q, k, v)]
    for out in (fl.compile(module, splits=2)(*arrays), fl.interpret(module, *arrays)):
        assert np.linalg.norm(out - want) < 1e-5 * np.linalg.norm(want)
