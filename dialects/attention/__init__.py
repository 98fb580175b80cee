"""
The attention dialect: attention as one operation, and its split form.

`attention.sdpa` is attention over whole sequences. Flash decoding cuts the keys into runs: `attention.partial`
computes each run's normalised output and log-sum-exp (LSE, natural logarithm), `attention.combine` puts them together,
and the two are exactly `attention.sdpa`. What is not a function of the logit stands in layouts and operands; every
function of the logit (masks, bias, soft cap) is IR in the score region. `layout` describes the iteration space
`(b..., h, g, m, n, k, d)` and the layouts of operands over it, `quantization` K and V that are codes with scales,
`score` the short forms of common score regions.
"""

from xdsl.ir import Dialect

from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.base import AttentionOp, YieldOp
from flashlower.dialects.attention.bounds import KeyIntervalAttr
from flashlower.dialects.attention.combine import CombineOp
from flashlower.dialects.attention.partial import PartialOp
from flashlower.dialects.attention.quantization import Quantization, QuantizationAttr
from flashlower.dialects.attention.quantizer import QuantizerAttr, Rounding, Scaling
from flashlower.dialects.attention.sdpa import SdpaOp
from flashlower.dialects.attention.update_cache import UpdateCacheOp

Attention = Dialect(
    "attention",
    [SdpaOp, PartialOp, CombineOp, UpdateCacheOp, YieldOp],
    [KeyIntervalAttr, QuantizationAttr, QuantizerAttr, ScheduleAttr],
)

__all__ = [
    "Attention",
    "AttentionOp",
    "CombineOp",
    "KeyIntervalAttr",
    "PartialOp",
    "Quantization",
    "QuantizationAttr",
    "QuantizerAttr",
    "Rounding",
    "Scaling",
    "ScheduleAttr",
    "SdpaOp",
    "UpdateCacheOp",
    "YieldOp",
]
