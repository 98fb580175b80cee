"""Transformers' models with small random configurations: what each is called with, and how many attentions it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

LAYERS = 2
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}
CONFIGS: dict[str, Callable[..., Any]] = {
    "GPT-2": lambda **kw: transformers.GPT2Config(
        vocab_size=64, n_positions=32, n_embd=32, n_layer=LAYERS, n_head=2, **kw
    ),
    "Llama": lambda **kw: transformers.LlamaConfig(**SIZES, **kw),
    # A soft cap that bends the logits of random weights, and layers with and without a window in turn.
    "Gemma-2": lambda **kw: transformers.Gemma2Config(
        **SIZES, head_dim=8, sliding_window=3, query_pre_attn_scalar=8, attn_logit_softcapping=2.0, **kw
    ),
    "Qwen2": lambda **kw: transformers.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=3, max_window_layers=1, **kw
    ),
    "Qwen3": lambda **kw: transformers.Qwen3Config(**SIZES, head_dim=8, **kw),
    "T5": lambda **kw: transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=LAYERS, num_heads=2, decoder_start_token_id=0, **kw
    ),
}
IMPLEMENTATIONS = [
    (name, implementation)
    for name in CONFIGS
    for implementation in ("eager", "sdpa")
    # transformers has no Gemma-2 with sdpa.
    if (name, implementation) != ("Gemma-2", "sdpa")
]
MASK = torch.tensor([[1] * 5, [0] * 2 + [1] * 3])
"""Of two sequences: the second is padded on the left, so that its first rows see nothing at all."""


@dataclass
class Call:
    """A model, what it is called with, and how many attentions that computes."""

    model: torch.nn.Module
    kwargs: dict[str, Any]
    groups: int

    def expected(self) -> list[torch.Tensor]:
        """The tensors of the model's own result, in order. Needs fresh arguments: models change caches in place."""
        with torch.no_grad():
            result = self.model(**self.kwargs)
        return [x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor)]

    def inputs(self) -> list[torch.Tensor]:
        """Copies of the tensors in the arguments, in order."""
        leaves = torch.utils._pytree.tree_leaves(self.kwargs)
        return [x.detach().clone() for x in leaves if isinstance(x, torch.Tensor)]


def model_of(name: str, implementation: str) -> torch.nn.Module:
    torch.manual_seed(len(name))
    transformers.logging.set_verbosity_error()
    config = CONFIGS[name](attn_implementation=implementation)
    if name == "T5":
        return transformers.T5ForConditionalGeneration(config).eval()
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def prefill(name: str, implementation: str, use_cache: bool = True, mask: torch.Tensor = MASK) -> Call:
    """All tokens of two sequences; the result holds the key-value cache too if `use_cache`."""
    model = model_of(name, implementation)
    tokens = torch.randint(0, 64, mask.shape)
    kwargs = {"input_ids": tokens, "attention_mask": mask, "use_cache": use_cache}
    if name != "T5":
        return Call(model, kwargs, LAYERS)
    # The encoder's own attention, the decoder's, and the decoder's across.
    return Call(model, kwargs | {"decoder_input_ids": torch.randint(0, 64, (2, 3))}, 3 * LAYERS)


def decode(name: str, implementation: str) -> Call:
    """One more token after all of `prefill`, which are in the cache."""
    before = prefill(name, implementation)
    with torch.no_grad():
        result = before.model(**before.kwargs)
    token = torch.randint(0, 64, (2, 1))
    if name == "T5":
        kwargs = {
            "encoder_outputs": (result.encoder_last_hidden_state,),
            "attention_mask": MASK,
            "decoder_input_ids": token,
            "past_key_values": result.past_key_values,
        }
        return Call(before.model, kwargs, 2 * LAYERS)
    mask = torch.cat([MASK, torch.ones(2, 1, dtype=MASK.dtype)], 1)
    kwargs = {"input_ids": token, "attention_mask": mask, "past_key_values": result.past_key_values}
    return Call(before.model, kwargs, LAYERS)


class OneToken(torch.nn.Module):
    """A decoding step as a function of tensors alone, as ONNX has it: the keys and values of each layer."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, token: torch.Tensor, mask: torch.Tensor, past: list[tuple[torch.Tensor, torch.Tensor]]) -> Any:
        cache = transformers.DynamicCache()
        for i, (keys, values) in enumerate(past):
            cache.update(keys, values, i)
        result = self.model(input_ids=token, attention_mask=mask, past_key_values=cache)
        return result.logits, [(layer.keys, layer.values) for layer in result.past_key_values.layers]


def decode_with_tensors(name: str, implementation: str) -> Call:
    """`decode`, with the cache as tensors."""
    call = decode(name, implementation)
    past = [(layer.keys, layer.values) for layer in call.kwargs["past_key_values"].layers]
    kwargs = {"token": call.kwargs["input_ids"], "mask": call.kwargs["attention_mask"], "past": past}
    return Call(OneToken(call.model).eval(), kwargs, call.groups)
