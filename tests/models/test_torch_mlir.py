"""Locks in that whole models come through torch-mlir: every attention found, none invented, the model's own numbers.

Transformers' models hold what no single attention shows: masks built from a padding mask, caches with and without a
window, biases by relative position, soft caps, grouped heads behind rotary embeddings. Both of their implementations
are exported, `eager` and `sdpa`; the first rows of a padded sequence are fully masked.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch_mlir", reason="the extra torch-mlir is not installed")
pytest.importorskip("transformers", reason="the extra test is not installed")
pytest.importorskip("jax", reason="the extra jax is not installed")

import flashlower as fl
from models.checks import Export, check
from models.torch_models import CONFIGS, IMPLEMENTATIONS, decode, prefill

DECODED = [(name, "eager" if name == "Gemma-2" else "sdpa") for name in CONFIGS]


@pytest.mark.parametrize("step", [prefill, decode])
@pytest.mark.parametrize("name, implementation", IMPLEMENTATIONS)
def test_model(name: str, implementation: str, step: type) -> None:
    # Both implementations decode with the same attention over the same caches.
    check(export(name, implementation, step), kernels=step is prefill or (name, implementation) in DECODED)


def export(name: str, implementation: str, step: type) -> Export:
    call = step(name, implementation)
    module = fl.from_torch(call.model, **call.kwargs)
    # In this order: from_torch lets PyTorch see into caches, and the model changes them.
    inputs = [x.numpy() for x in call.inputs()]
    return Export(module, inputs, [x.numpy() for x in call.expected()], call.groups)
