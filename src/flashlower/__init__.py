"""
flashlower lowers attention, as compilers write it, to kernels that people can read.

    kernel = flashlower.compile(module)          # StableHLO or attention IR in, Triton out
    out = kernel(q, k, v)                        # torch tensors on a GPU; NumPy arrays or torch tensors on a CPU
    kernel.source, kernel.stages, kernel.save("decode.py")

    out = flashlower.attention(q, k, v, score=flashlower.causal(), kv_lens=lens)
    out = flashlower.interpret(module, *arrays)  # a whole model, on NumPy arrays
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashlower.frontends.score import (
        alibi,
        bias,
        captured,
        causal,
        chain,
        exp,
        mask,
        soft_cap,
        tanh,
        where,
        window,
    )
    from flashlower.lowering.functional import attention
    from flashlower.lowering.interpret import interpret
    from flashlower.lowering.kernel import Kernel, compile

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
    "interpret",
    "mask",
    "soft_cap",
    "tanh",
    "where",
    "window",
]

_MODULES = {
    "Kernel": "lowering.kernel",
    "attention": "lowering.functional",
    "compile": "lowering.kernel",
    "interpret": "lowering.interpret",
}


def __getattr__(name: str) -> Any:
    # Every start of xdsl-opt imports this package, so what is slow to import waits until it is asked for.
    if name not in __all__:
        raise AttributeError(f"module 'flashlower' has no attribute {name!r}")
    return getattr(import_module(f"flashlower.{_MODULES.get(name, 'frontends.score')}"), name)
