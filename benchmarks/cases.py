"""What is measured: shapes, inputs that rotate through memory, and float32 references."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

PAGE_SIZE = 64
"""Tokens a page of the paged caches."""

L2_BYTES = 60e6
"""The largest L2 cache of the GPUs that this is meant for (H200)."""

K = 1024


@dataclass(frozen=True)
class Case:
    """One attention call: `queries` new tokens a sequence over a cache of `keys` tokens."""

    batch: int
    q_heads: int
    kv_heads: int
    head_size: int
    keys: int
    queries: int = 1
    causal: bool = False
    """Of more than one query: the last one sees the last key."""
    window: int | None = None
    """Each query sees this many keys, its own position included."""
    ragged: bool = False
    """Lengths drawn log-uniformly from 128 to `keys`."""

    def __str__(self) -> str:
        name = f"B{self.batch} {self.q_heads}/{self.kv_heads} D{self.head_size} L{_thousands(self.keys)}"
        if self.queries > 1:
            name += f" M{_thousands(self.queries)}"
        return name + " causal" * self.causal + f" window {self.window}" * bool(self.window) + " ragged" * self.ragged

    @property
    def is_masked(self) -> bool:
        return self.causal or self.window is not None

    def lengths(self) -> list[int]:
        """Keys of every sequence."""
        if not self.ragged:
            return [self.keys] * self.batch
        generator = torch.Generator().manual_seed(0)
        low, high = math.log(128), math.log(self.keys)
        return [round(math.exp(low + (high - low) * float(u))) for u in torch.rand(self.batch, generator=generator)]

    def kv_bytes(self, element_bytes: int = 2) -> int:
        """The fewest bytes of K and V that the call must read."""
        seen = self.window + self.queries - 1 if self.window else self.keys
        tokens = sum(min(seen, length) for length in self.lengths())
        return 2 * tokens * self.kv_heads * self.head_size * element_bytes

    def flops(self) -> float:
        """Multiplications and additions of the two dot products that a mask leaves."""
        pairs = 0.0
        for length in self.lengths():
            m = self.queries
            pairs += m * min(self.window, length) if self.window else m * length - self.causal * m * (m - 1) / 2
        return 4.0 * pairs * self.q_heads * self.head_size


@dataclass
class Inputs:
    """
    One set of tensors of a case.

    q is [B, M, Hq, D]; the caches are [pages, PAGE_SIZE, Hkv, D], of which contiguous readers see the first
    B * L / PAGE_SIZE pages in order, as [B, L, Hkv, D], and paged readers those of `block_table` [B, L / PAGE_SIZE].
    """

    case: Case
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    block_table: torch.Tensor
    kv_lens: torch.Tensor
    _references: dict[tuple[bool, int], torch.Tensor] = field(default_factory=dict)

    def contiguous(self, cache: torch.Tensor) -> torch.Tensor:
        """A cache as [B, L, Hkv, D]."""
        return cache.view(self.case.batch, self.case.keys, *cache.shape[2:])

    def reference(self, sequence: int, *, paged: bool) -> torch.Tensor:
        """The result [M, Hq, D] of one sequence, computed in float32 and in chunks of heads."""
        if (paged, sequence) not in self._references:
            self._references[paged, sequence] = self._compute(sequence, paged)
        return self._references[paged, sequence]

    def _compute(self, sequence: int, paged: bool) -> torch.Tensor:
        case = self.case
        length = int(self.kv_lens[sequence])
        group = case.q_heads // case.kv_heads
        pages = self.block_table[sequence].long()
        out = torch.empty(case.queries, case.q_heads, case.head_size, device=self.q.device)
        for head in range(case.kv_heads):
            if paged:
                k, v = (c[pages, :, head].flatten(0, 1)[:length].float() for c in (self.k, self.v))
            else:
                k, v = (self.contiguous(c)[sequence, :length, head].float() for c in (self.k, self.v))
            heads = slice(head * group, (head + 1) * group)
            logits = torch.einsum("mgd,nd->gmn", self.q[sequence, :, heads].float(), k) / math.sqrt(case.head_size)
            position = torch.arange(case.queries, device=k.device)[:, None] + length - case.queries
            distance = position - torch.arange(length, device=k.device)[None, :]
            if case.is_masked:
                logits.masked_fill_(distance < 0, -math.inf)
            if case.window is not None:
                logits.masked_fill_(distance >= case.window, -math.inf)
            out[:, heads] = torch.einsum("gmn,nd->mgd", torch.softmax(logits, -1), v)
        return out


def make_inputs(case: Case, device: str, dtype: torch.dtype) -> list[Inputs]:
    """Sets of inputs, as many as it takes for one round to move five times the L2 cache; one but on a GPU."""
    sets = 1
    if device == "cuda":
        sets = min(24, max(2 if case.kv_bytes() < 1.5e9 else 1, -(-5 * L2_BYTES // case.kv_bytes())))
    generator = None if device == "meta" else torch.Generator(device=device).manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device=device, dtype=dtype).normal_(generator=generator)

    pages = case.batch * case.keys // PAGE_SIZE
    cache = (pages, PAGE_SIZE, case.kv_heads, case.head_size)
    table = torch.randperm(pages, generator=generator, device=device).to(torch.int32).view(case.batch, -1)
    lens = torch.tensor(case.lengths(), dtype=torch.int32, device=device)
    queries = (case.batch, case.queries, case.q_heads, case.head_size)
    return [Inputs(case, normal(*queries), normal(*cache), normal(*cache), table, lens) for _ in range(int(sets))]


def _thousands(n: int) -> str:
    return f"{n // K}k" if n % K == 0 else str(n)


DECODE = [
    *(
        Case(b, 32, 8, 128, length * K)
        for b, lengths in ((1, (1, 4, 16, 64, 128)), (8, (1, 4, 16, 128)), (32, (1, 4, 16, 64)), (128, (1, 4, 16)))
        for length in lengths
    ),
    *(Case(b, 64, 8, 128, length * K) for b, length in ((1, 16), (8, 4), (32, 16))),
    *(Case(b, 32, 32, 128, 4 * K) for b in (1, 8, 32)),
    *(Case(b, 32, 8, 64, length * K) for b, length in ((8, 4), (32, 16))),
]

SUITES = {
    "decode": DECODE,
    "quick": [
        Case(1, 32, 8, 128, K),
        Case(1, 32, 8, 128, 16 * K),
        Case(8, 32, 8, 128, 4 * K),
        Case(32, 32, 8, 128, 16 * K),
        Case(128, 32, 8, 128, 4 * K),
        Case(32, 32, 32, 128, 4 * K),
    ],
    "ragged": [Case(64, 32, 8, 128, 32 * K, ragged=True)],
    "queries": [Case(b, 32, 8, 128, length * K, queries=4, causal=True) for b, length in ((1, 16), (8, 4), (32, 16))],
    "window": [Case(b, 32, 8, 128, 64 * K, window=K) for b in (1, 8)] + [Case(b, 32, 8, 128, K) for b in (1, 8)],
    "prefill": [Case(4, 32, 8, 128, s * K, queries=s * K, causal=c) for s in (4, 8) for c in (True, False)],
    # bf16, and every format of benchmarks/quantized.py.
    "quant": [Case(b, 32, 8, 128, length * K) for b, length in ((32, 16), (128, 4), (8, 16), (1, 128))],
    # What a CPU can do in Triton's interpreter: whether everything runs, not how fast.
    "tiny": [
        Case(2, 4, 2, 32, 128),
        Case(2, 4, 2, 32, 128, queries=2, causal=True),
        Case(2, 4, 2, 32, 128, window=40),
        Case(3, 4, 2, 32, 192, ragged=True),
    ],
    "quant-tiny": [Case(2, 4, 2, 128, 128)],
}
"""Lists of cases by name. `decode` has the 24 shapes of the tables in docs/benchmarks.md."""

QUANTIZED_SUITES = ("quant", "quant-tiny")
"""Suites whose cases are measured on quantised caches as well."""
