"""
flashlower lowers attention, as compilers write it, to kernels that people can read.

    kernel = flashlower.compile(module)          # StableHLO or attention IR in, Triton out
    out = kernel(q, k, v)                        # torch tensors on a GPU; NumPy arrays or torch tensors on a CPU
    kernel.source, kernel.stages, kernel.save("decode.py")

    out = flashlower.attention(q, k, v, score=flashlower.causal(), kv_lens=lens)
    flashlower.update_cache(k, v, k_cache, v_cache, positions=lens)
    module = flashlower.from_jax(fn, *args)      # the StableHLO of a function of JAX
    module = flashlower.from_onnx("model.onnx")  # an ONNX model, its Attention nodes included
    out = flashlower.interpret(module, *arrays)  # a whole model, on NumPy arrays
    flashlower.explain(module)                   # of every softmax: is it attention, and if not, why
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashlower.frontends.from_jax import from_jax
    from flashlower.frontends.from_torch import from_torch
    from flashlower.frontends.onnx import from_onnx
    from flashlower.frontends.quantized import quantized
    from flashlower.frontends.score import alibi, bias, causal, chain, mask, soft_cap, window
    from flashlower.frontends.symbols import exp, tanh, where
    from flashlower.frontends.trace import captured
    from flashlower.lowering.functional import attention, workspace_size
    from flashlower.lowering.interpret import interpret
    from flashlower.lowering.kernel import Kernel, compile
    from flashlower.lowering.update_cache import update_cache
    from flashlower.rewrites.fuse_attention.fuse import explain

__all__ = [
    "Kernel",
    "alibi",
    "attention",
    "bias",
    "captured",
    "causal",
    "chain",
    "compile",
    "exp",
    "explain",
    "from_jax",
    "from_onnx",
    "from_torch",
    "interpret",
    "mask",
    "quantized",
    "soft_cap",
    "tanh",
    "update_cache",
    "where",
    "window",
    "workspace_size",
]

_MODULES = {
    "Kernel": "lowering.kernel",
    "attention": "lowering.functional",
    "captured": "frontends.trace",
    "compile": "lowering.kernel",
    "exp": "frontends.symbols",
    "explain": "rewrites.fuse_attention.fuse",
    "from_jax": "frontends.from_jax",
    "from_onnx": "frontends.onnx",
    "from_torch": "frontends.from_torch",
    "interpret": "lowering.interpret",
    "quantized": "frontends.quantized",
    "tanh": "frontends.symbols",
    "update_cache": "lowering.update_cache",
    "where": "frontends.symbols",
    "workspace_size": "lowering.functional",
}


def __getattr__(name: str) -> Any:
    # Every start of xdsl-opt imports this package, so what is slow to import waits until it is asked for.
    if name not in __all__:
        raise AttributeError(f"module 'flashlower' has no attribute {name!r}")
    value = getattr(import_module(f"flashlower.{_MODULES.get(name, 'frontends.score')}"), name)
    globals()[name] = value
    return value
