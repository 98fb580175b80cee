"""
Caches of quantised K and V: their formats, inputs that rotate through memory, and float32 references.

The caches are pools of pages of 64 tokens with K and V of all heads in one, in the layout of LightLLM ([page, token,
heads of K and V, bytes]) or with the tokens of a head together ([page, heads of K and V, token, bytes]).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from benchmarks.cases import L2_BYTES, PAGE_SIZE, Case

CHUNK = 1 << 26
"""Elements that are quantised at once."""


@dataclass(frozen=True)
class Format:
    """How a cache is quantised."""

    name: str
    codes: str
    """u4 (with zero point 7), i8 or f8E4M3FN."""
    group: int | None
    """Neighbouring channels of a token and head that share a scale; None: one scale for all of K, and one for V."""
    scale_type: torch.dtype
    head_major: bool
    planar: bool = False
    rounded: bool = False
    """Values are rounded to bf16, as LightLLM has them."""

    @property
    def bits(self) -> int:
        return 4 if self.codes == "u4" else 8

    def groups(self, head_size: int) -> int:
        """Scales of a token and head."""
        return head_size // self.group if self.group else 0

    def kv_bytes(self, case: Case) -> int:
        """The fewest bytes of codes and scales that a call must read."""
        token = case.head_size * self.bits // 8 + self.groups(case.head_size) * self.scale_type.itemsize
        return 2 * sum(case.lengths()) * case.kv_heads * token


LIGHTLLM_INT4 = Format("int4 group 8, LightLLM", "u4", 8, torch.bfloat16, head_major=False, rounded=True)

FORMATS = [
    LIGHTLLM_INT4,
    Format("int4 group 8, head-major", "u4", 8, torch.bfloat16, head_major=True, rounded=True),
    Format("int4 group 64, head-major", "u4", 64, torch.float32, head_major=True, planar=True),
    Format("int4 per token-head, head-major", "u4", 128, torch.float32, head_major=True),
    Format("int8 per token-head", "i8", 128, torch.float32, head_major=False),
    Format("int8 per token-head, head-major", "i8", 128, torch.float32, head_major=True),
    Format("fp8 per tensor", "f8E4M3FN", None, torch.float32, head_major=False),
    Format("fp8 per tensor, head-major", "f8E4M3FN", None, torch.float32, head_major=True),
]


@dataclass
class QuantizedInputs:
    """
    One set of tensors of a case.

    q is [B, 1, Hq, D]. `words` are [pages, PAGE_SIZE, Hkv, D * bits / 32] of int32, `scales` [pages, PAGE_SIZE, Hkv,
    groups], or a number; the strides of both say how pages lie. One of each for K and for V.
    """

    case: Case
    format: Format
    q: torch.Tensor
    words: tuple[torch.Tensor, torch.Tensor]
    scales: tuple[torch.Tensor, torch.Tensor]
    block_table: torch.Tensor
    kv_lens: torch.Tensor
    _references: dict[int, torch.Tensor] = field(default_factory=dict)

    def reference(self, sequence: int, *, paged: bool) -> torch.Tensor:
        """The result [1, Hq, D] of one sequence on the dequantised values, computed in float32 head by head."""
        assert paged
        if sequence not in self._references:
            case, pages = self.case, self.block_table[sequence].long()
            group = case.q_heads // case.kv_heads
            out = torch.empty(1, case.q_heads, case.head_size, device=self.q.device)
            length = int(self.kv_lens[sequence])
            for head in range(case.kv_heads):
                k, v = (
                    self._dequantized(words[pages, :, head], scales[pages, :, head] if scales.ndim else scales)[:length]
                    for words, scales in zip(self.words, self.scales)
                )
                heads = slice(head * group, (head + 1) * group)
                logits = self.q[sequence, 0, heads].float() @ k.T / math.sqrt(case.head_size)
                out[0, heads] = torch.softmax(logits, -1) @ v
            self._references[sequence] = out
        return self._references[sequence]

    def _dequantized(self, words: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """The values [keys, D] of words [pages, PAGE_SIZE, W] of one head."""
        form = self.format
        shifts = torch.arange(0, 32, form.bits, device=words.device, dtype=torch.int32)
        words = words.flatten(0, 1)
        lanes = (words[:, None, :] >> shifts[:, None]) & ((1 << form.bits) - 1)
        codes = (lanes if form.planar else lanes.transpose(1, 2)).flatten(1)
        if form.codes == "u4":
            values = codes.float() - 7
        else:
            values = codes.to(torch.uint8).view(torch.int8 if form.codes == "i8" else torch.float8_e4m3fn).float()
        if form.group:
            scales = scales.flatten(0, 1).repeat_interleave(form.group, -1)
        values = values * scales.float()
        return values.to(torch.bfloat16).float() if form.rounded else values


def make_quantized_inputs(case: Case, form: Format, device: str, dtype: torch.dtype) -> list[QuantizedInputs]:
    """Sets of inputs, as many as it takes for one round to move five times the L2 cache; one but on a GPU."""
    generator = None if device == "meta" else torch.Generator(device=device).manual_seed(0)
    kv_bytes = form.kv_bytes(case)
    sets = 1 if device != "cuda" else min(24, max(2 if kv_bytes < 1e9 else 1, math.ceil(5 * L2_BYTES / kv_bytes)))
    pages = case.batch * case.keys // PAGE_SIZE
    table = torch.randperm(pages, generator=generator, device=device).to(torch.int32).view(case.batch, -1)
    lens = torch.tensor(case.lengths(), dtype=torch.int32, device=device)
    found: list[QuantizedInputs] = []
    for _ in range(sets):
        q = torch.empty(case.batch, 1, case.q_heads, case.head_size, device=device, dtype=dtype)
        words, scales = _pool(case, form, pages, device, generator)
        heads = case.kv_heads
        found.append(
            QuantizedInputs(
                case,
                form,
                q.normal_(generator=generator),
                (words[:, :, :heads], words[:, :, heads:]),
                (scales[:, :, :heads], scales[:, :, heads:]) if scales.ndim > 1 else (scales[0], scales[1]),
                table,
                lens,
            )
        )
    return found


def _pool(
    case: Case, form: Format, pages: int, device: str, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The words and scales of random K and V, [pages, PAGE_SIZE, heads of K and V, ...]."""
    size, heads = case.head_size, 2 * case.kv_heads
    rows = pages * PAGE_SIZE * heads
    words = torch.empty(rows, size * form.bits // 32, dtype=torch.int32, device=device)
    scales = torch.empty(rows, form.groups(size), dtype=form.scale_type, device=device)
    # The largest of some billion normal numbers is below this.
    tensor_scale = torch.tensor([7.0 / 448, 7.0 / 448], device=device)
    for start in range(0, rows, CHUNK // size):
        part = slice(start, start + CHUNK // size)
        values = torch.empty(words[part].shape[0], size, device=device).normal_(generator=generator)
        words[part], part_scales = _quantized(values, form, tensor_scale[0])
        scales[part] = part_scales
    shape = (pages, heads, PAGE_SIZE) if form.head_major else (pages, PAGE_SIZE, heads)
    words = words.view(*shape, -1)
    scales = scales.view(*shape, form.groups(size))
    if form.head_major:
        words, scales = words.transpose(1, 2), scales.transpose(1, 2)
    return words, scales if form.group else tensor_scale


def _quantized(values: torch.Tensor, form: Format, tensor_scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The words [rows, W] and scales [rows, groups] of values [rows, D]."""
    rows, size = values.shape
    if form.group is None:
        codes = (values / tensor_scale).to(torch.float8_e4m3fn).view(torch.uint8)
        return codes.view(torch.int32), values[:, :0]
    largest = 7 if form.bits == 4 else 127
    grouped = values.view(rows, -1, form.group)
    scales = (grouped.abs().amax(-1, keepdim=True) / largest).to(form.scale_type)
    codes = (grouped / scales.float()).round().clamp(-largest, largest).view(rows, size).to(torch.int32)
    lanes = 32 // form.bits
    codes = codes + 7 if form.bits == 4 else codes & 255
    codes = codes.view(rows, lanes, -1) if form.planar else codes.view(rows, -1, lanes).transpose(1, 2)
    words = torch.zeros_like(codes[:, 0])
    for lane in range(lanes):
        words |= codes[:, lane] << (lane * form.bits)
    return words, scales.squeeze(-1)
