"""Locks in that whole models come through ONNX: every attention found, none invented, the model's own numbers.

PyTorch's exporter writes scaled_dot_product_attention as ordinary operators at opset 18, and as one Attention node at
opset 23; the eager models are ordinary operators at both, and are exported at 18.
"""

from __future__ import annotations

import pytest

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("transformers", reason="the extra test is not installed")
pytest.importorskip("jax", reason="the extra jax is not installed")

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import flashlower as fl
from models.checks import Export, check
from models.torch_models import IMPLEMENTATIONS, MASK, decode_with_tensors, prefill

EXPORTS = [
    *(
        (*model, opset, "prefill")
        for model in IMPLEMENTATIONS
        for opset in (18, 23)
        if (model[1], opset) != ("eager", 23)
    ),
    *((name, "sdpa", opset, "decode") for name in ("GPT-2", "Llama") for opset in (18, 23)),
]


@pytest.mark.parametrize("name, implementation, opset, step", EXPORTS)
def test_model(name: str, implementation: str, opset: int, step: str) -> None:
    # What opset 18 has are ordinary operators, as torch-mlir's: those kernels run in test_torch_mlir.py.
    check(export(name, implementation, opset, step), kernels=opset == 23)


def export(name: str, implementation: str, opset: int, step: str) -> Export:
    # At opset 18, the exporter spreads the weights of a fully masked row over all keys, where sdpa has none: by ONNX's
    # reference evaluator too, the exported model is another than PyTorch's. Padding on the right has no such rows.
    mask = MASK.flip(1) if (implementation, opset) == ("sdpa", 18) else MASK
    if step == "decode":
        call = decode_with_tensors(name, implementation)
    else:
        call = prefill(name, implementation, use_cache=False, mask=mask)
    # The exporter computes with the strides of the plain implementation, and fails where it recorded those of another.
    with sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(call.model, (), kwargs=call.kwargs, dynamo=True, opset_version=opset, verbose=False)
    attentions = sum(node.op_type == "Attention" for node in program.model_proto.graph.node)
    assert attentions == (call.groups if (implementation, opset) == ("sdpa", 23) else 0)
    inputs = [x.numpy() for x in call.inputs()]
    return Export(fl.from_onnx(program.model_proto), inputs, [x.numpy() for x in call.expected()], call.groups)
