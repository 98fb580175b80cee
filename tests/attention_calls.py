"""Random calls of `flashlower.attention` with any combination of its arguments, and what they must compute.

    call = random_call(seed, "cuda")          # small=True for Triton's interpreter
    call.run()                                # flashlower.attention, into given memory where the call has some
    call.check()                              # against plain float64 PyTorch; AssertionError with the call's arguments

Whatever is drawn may be given by name: `Call(seed, "cuda", queries=16, page_size=1, schedule={"pdl": 1})`.

Tensors are strided and offset views as callers have them. Whatever must not be read is NaN, or no page: keys beyond
a length, pages of nobody, entries of the table beyond a length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import flashlower as fl
from flashlower.frontends.sdpa import build_attention

HEAD_SIZES = ((64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (192, 192), (256, 256), (576, 512))
"""d_qk and d_v; the last is MLA's, where V is the front of K."""

DTYPES = (torch.bfloat16, torch.bfloat16, torch.float16, torch.float32)
TOLERANCE = {torch.bfloat16: 6e-3, torch.float16: 1e-3, torch.float32: 2e-5}
"""Of ||out - want|| / ||want||: the roundings of Q, P and the result."""

Change = Callable[[torch.Tensor], torch.Tensor]
"""What a score function does to logits [B, Hq, M, N]."""


class Call:
    """One call: tensors, options, and the reference."""

    def __init__(
        self, seed: int, device: str, *, small: bool = False, schedule: dict[str, int] | None = None, **fixed: Any
    ):
        """`fixed` are choices that are not drawn: whatever `pick` has a name for."""
        self.fixed = fixed
        self.schedule = schedule
        self.rng = np.random.default_rng([seed, 4])
        self.device = device
        self.small = small
        self.key_size, self.value_size = self.pick(((16, 16), (24, 24), (40, 32)) if small else HEAD_SIZES, "sizes")
        self.latent = self.key_size != self.value_size and self.value_size in (512, 32)
        self.dtype: torch.dtype = self.pick(DTYPES, "dtype")
        self.batch = self.pick((1, 2, 3), "batch")
        self.kv_heads = 1 if self.latent else self.pick((1, 2, 3), "kv_heads")
        self.group = self.pick((1, 2, 3, 8) if small else (1, 2, 4, 5, 8, 16), "group")
        self.queries = self.pick((1, 2, 4, 7) if small else (1, 1, 2, 4, 7, 16, 300), "queries")
        self.page_size = self.pick((None, None, 1, 16, 64, 100), "page_size")
        self.keys = int(self.rng.integers(1, 150 if small else self.pick((200, 3000))))
        self.keys = fixed.get("keys", self.keys)
        if self.page_size is not None:
            self.keys = -(-self.keys // self.page_size) * self.page_size
        self.layout = self.pick(("bhsd", "bshd"), "layout")
        self.options: dict[str, Any] = {"layout": self.layout}
        self.changes: list[Change] = []
        self.lens: torch.Tensor | None = None
        self.sinks: torch.Tensor | None = None
        self._make_lengths()
        self._make_tensors()
        self._make_score()
        self._make_rest()

    def pick(self, choices: Any, name: str | None = None) -> Any:
        drawn = choices[int(self.rng.integers(len(choices)))]
        return self.fixed.get(name, drawn) if name is not None else drawn

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A random tensor: contiguous, or a view with gaps, or one that begins off the alignment of an allocator."""
        dtype = self.dtype if dtype is None else dtype
        kind = self.pick(("contiguous", "contiguous", "gaps", "offset"))
        data = self.rng.standard_normal((*shape[:-1], shape[-1] + (8 if kind == "gaps" else 0)), dtype=np.float32)
        values = torch.from_numpy(data).to(dtype)
        if kind == "offset":
            memory = torch.full((values.numel() + 3,), math.nan, dtype=dtype, device=self.device)
            memory[3:] = values.flatten().to(self.device)
            return memory[3:].view(shape)
        return values.to(self.device)[..., : shape[-1]]

    def sequence_first(self, *shape: int) -> torch.Tensor:
        """[B, H, S, D] in the layout of the call, in memory of either order."""
        tensor = self.normal(*shape) if self.pick((True, False)) else self.normal(*self._swapped(shape)).transpose(1, 2)
        return tensor if self.layout == "bhsd" else tensor.transpose(1, 2)

    @staticmethod
    def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], shape[2], shape[1], shape[3]

    def _make_lengths(self) -> None:
        if self.page_size is None and not self.pick((False, True), "lengths"):
            return
        lens = self.rng.integers(0, self.keys + 1, self.batch)
        lens[int(self.rng.integers(self.batch))] = self.pick((0, 1, self.keys))
        dtype = self.pick((torch.int32, torch.int32, torch.int64))
        self.lens = torch.tensor(lens, dtype=dtype, device=self.device)
        self.options["kv_lens"] = self.lens

    def _make_tensors(self) -> None:
        b, h, n = self.batch, self.kv_heads, self.keys
        self.q = self.sequence_first(b, h * self.group, self.queries, self.key_size)
        if self.page_size is None:
            self.k = self.sequence_first(b, h, n, self.key_size)
            self.v = self.k[..., : self.value_size] if self.latent else self.sequence_first(b, h, n, self.value_size)
            dense = (self.k, self.v) if self.layout == "bhsd" else (self.k.transpose(1, 2), self.v.transpose(1, 2))
            self.dense = tuple(x.double() for x in dense)
            for tensor in (self.k, self.v):
                rows = tensor if self.layout == "bhsd" else tensor.transpose(1, 2)
                for i in range(b if self.lens is not None else 0):
                    rows[i, :, int(self.lens[i]) :] = math.nan
            return
        pages = n // self.page_size
        count = b * pages + 3
        heads_first = self.pick((True, False), "heads_first")

        def pool(size: int) -> torch.Tensor:
            if heads_first:
                return self.normal(count, h, self.page_size, size).transpose(1, 2)
            return self.normal(count, self.page_size, h, size)

        self.k = pool(self.key_size)
        self.v = self.k[..., : self.value_size] if self.latent else pool(self.value_size)
        order = self.rng.permutation(count)[: b * pages].reshape(b, pages)
        table = torch.tensor(order, device=self.device)
        self.dense = tuple(x[table].flatten(1, 2).transpose(1, 2).double() for x in (self.k, self.v))
        assert self.lens is not None
        used = torch.zeros(count, self.page_size, dtype=torch.bool, device=self.device)
        for i in range(b):
            length = int(self.lens[i])
            used[table[i]] = (torch.arange(n, device=self.device) < length).view(pages, self.page_size)
            table[i, -(-length // self.page_size) :] = self.pick((-1, count + 7, 2**31 - 1))
        for tensor in (self.k, self.v):
            tensor[~used] = math.nan
        self.options["block_table"] = table.to(self.pick((torch.int32, torch.int64)))

    def _make_score(self) -> None:
        chosen = self.fixed.get("steps")
        if chosen is None:
            chosen = (self.pick(STEPS) for _ in range(self.pick((0, 1, 1, 2, 3))))
        steps = [step(self) for step in chosen]
        self.changes = [change for _, change in steps]
        if steps:
            scores = [score for score, _ in steps]
            self.options["score"] = scores[0] if len(scores) == 1 else fl.chain(*scores)

    def _make_rest(self) -> None:
        heads = self.kv_heads * self.group
        if self.pick((True, False, False), "sinks"):
            self.sinks = self.normal(heads, dtype=self.pick((torch.float32, self.dtype)))
            self.options["sinks"] = self.sinks
        if self.pick((True, False, False)):
            self.options["scale"] = float(self.rng.uniform(0.02, 0.2))
        self.options["splits"] = self.pick((None, None, None, 1, 2, 7), "splits")
        self.options["return_lse"] = self.pick((True, False), "return_lse")
        if self.pick((True, False), "out"):
            out = torch.full_like(self.sequence_first(self.batch, heads, self.queries, self.value_size), math.nan)
            lse = torch.full((self.batch, heads, self.queries), math.nan, device=self.device)
            self.options["out"] = (out, lse) if self.options["return_lse"] else out
            if self.pick((True, False), "workspace"):
                size = self.kernel()[0].workspace_size()
                self.options["workspace"] = torch.full((size,), 255, dtype=torch.uint8, device=self.device)

    def positions(self) -> torch.Tensor:
        """Of the first query of each sequence [B, 1, 1, 1], where the last query sees the last existing key."""
        lens = self.keys if self.lens is None else self.lens
        start = torch.as_tensor(lens, device=self.device) - self.queries
        return start.expand(self.batch).reshape(-1, 1, 1, 1)

    def distances(self, offset: int | None) -> torch.Tensor:
        """Key less position of the query, [B or 1, 1, M, N]."""
        m = torch.arange(self.queries, device=self.device)[:, None]
        start = self.positions() if offset is None else torch.tensor(offset, device=self.device)
        return torch.arange(self.keys, device=self.device) - (start + m)

    def given(self) -> list[torch.Tensor]:
        """The tensors that results are written to, where the call gives them."""
        out = self.options.get("out", ())
        return list(out) if isinstance(out, tuple) else [out]

    def run(self) -> Any:
        """The call: with a schedule, through a kernel that is compiled for it."""
        if self.schedule is None:
            self.result = fl.attention(self.q, self.k, self.v, **self.options)
        else:
            kernel, arguments = self.kernel()
            given = {name: self.options[name] for name in ("out", "workspace") if name in self.options}
            self.result = kernel(*arguments, **given)
        return self.result

    def kernel(self) -> tuple[fl.Kernel, list[Any]]:
        """The kernel of the call, and its arguments."""
        options = {name: x for name, x in self.options.items() if name not in ("out", "workspace", "splits")}
        built = build_attention(self.q, self.k, self.v, **options)
        splits = self.options["splits"]
        auto = "auto" if splits is None else splits
        return fl.compile(str(built.module), splits=auto, schedule=self.schedule), built.arguments

    def reference(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Output [B, Hq, M, D] and LSE [B, Hq, M] in float64."""
        q = (self.q if self.layout == "bhsd" else self.q.transpose(1, 2)).double()
        k, v = (x.repeat_interleave(self.group, 1) for x in self.dense)
        s = q @ k.transpose(-1, -2) * self.options.get("scale", self.key_size**-0.5)
        for change in self.changes:
            s = change(s)
        if self.lens is not None:
            s = s.masked_fill(torch.arange(self.keys, device=self.device) >= self.lens.view(-1, 1, 1, 1), -math.inf)
        if self.sinks is not None:
            sinks = self.sinks.double().view(1, -1, 1, 1).expand(*s.shape[:3], 1)
            s, v = torch.cat((s, sinks), -1), torch.cat((v, torch.zeros_like(v[:, :, :1])), -2)
        lse = torch.logsumexp(s, -1)
        p = torch.exp(s - torch.where(lse.isinf(), 0.0, lse)[..., None])
        return p @ v, lse

    def check(self) -> None:
        """Compares the last result with the reference."""
        out, lse = self.result if self.options["return_lse"] else (self.result, None)
        want, want_lse = self.reference()
        got = (out if self.layout == "bhsd" else out.transpose(1, 2)).double()
        error = float((got - want).norm() / want.norm().clamp(min=1e-30))
        assert error < TOLERANCE[self.dtype], f"relative error {error:.3g} of {self}"
        assert not self.given() or out is self.given()[0]
        if lse is not None:
            torch.testing.assert_close(lse.double(), want_lse, rtol=2e-3, atol=2e-3, msg=lambda m: f"{m} {self}")

    def __str__(self) -> str:
        tensors = f"q{list(self.q.shape)} k{list(self.k.shape)} v{list(self.v.shape)} {self.dtype}"
        steps = [change.__qualname__.split(".")[0] for change in self.changes]
        options = {
            name: f"{value.dtype}{list(value.shape)}" if isinstance(value, torch.Tensor) else value
            for name, value in self.options.items()
            if name not in ("score", "out", "workspace")
        }
        given = [name for name in ("out", "workspace") if name in self.options]
        return f"{tensors} {options} score {steps} given {given}"


Step = tuple[Any, Change]


def causal(call: Call) -> Step:
    offset = call.pick((None, None, 0, 5, -2))
    return fl.causal(offset), lambda s: s.masked_fill(call.distances(offset) > 0, -math.inf)


def window(call: Call) -> Step:
    offset = call.pick((None, None, 3))
    left, right = int(call.rng.integers(0, 200)), int(call.rng.integers(0, 20))

    def change(s: torch.Tensor) -> torch.Tensor:
        distance = call.distances(offset)
        return s.masked_fill((distance < -left) | (distance > right), -math.inf)

    return fl.window(left, right, offset), change


def soft_cap(call: Call) -> Step:
    cap = float(call.rng.uniform(1, 20))
    return fl.soft_cap(cap), lambda s: cap * torch.tanh(s / cap)


def alibi(call: Call) -> Step:
    slopes = call.normal(call.kv_heads * call.group, dtype=torch.float32).abs() / 50
    return fl.alibi(slopes), lambda s: s + slopes.double().view(1, -1, 1, 1) * call.distances(None)


def broadcast_shape(call: Call) -> list[int]:
    """A shape that broadcasts to [B, Hq, M, N]."""
    full = [call.batch, call.kv_heads * call.group, call.queries, call.keys]
    sizes = [call.pick((1, size)) for size in full[:3]] + [call.keys]
    return sizes[call.pick((0, 0, 1, 2)) :]


def bias(call: Call) -> Step:
    tensor = call.normal(*broadcast_shape(call), dtype=call.pick((torch.float32, call.dtype)))
    return fl.bias(tensor), lambda s: s + tensor.double()


def mask(call: Call) -> Step:
    tensor = torch.tensor(call.rng.random(broadcast_shape(call)) < 0.8, device=call.device)
    return fl.mask(tensor), lambda s: s.masked_fill(~tensor, -math.inf)


def documents(call: Call) -> Step:
    """A score function of the caller's own, which reads two tensors and a number."""
    docs = torch.tensor(call.rng.integers(0, 3, (call.batch, call.keys)).astype(np.int32), device=call.device)
    slopes = call.normal(call.kv_heads * call.group, dtype=torch.float32) / 100
    period = int(call.rng.integers(2, 9))

    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return fl.where(docs[b, n] != 1, s + slopes[h] * (n % period), -math.inf)

    def change(s: torch.Tensor) -> torch.Tensor:
        n = torch.arange(call.keys, device=call.device)
        biased = s + slopes.double().view(1, -1, 1, 1) * (n % period)
        return biased.masked_fill(docs.view(call.batch, 1, 1, -1) == 1, -math.inf)

    return score, change


STEPS = (causal, causal, window, soft_cap, alibi, bias, mask, documents)


def random_call(seed: int, device: str, *, small: bool = False) -> Call:
    """The call of a seed."""
    return Call(seed, device, small=small)
