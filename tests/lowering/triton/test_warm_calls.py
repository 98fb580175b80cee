"""Locks in that a warm call checks what a first call checks, through the test of all tensors at once and without it.

torch is made to look as on a GPU, and a plan starts nothing but is counted: what matters is which calls repeat it. All
others must run the launch function, which raises what it has to raise, or computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flashlower as fl
from flashlower.frontends.sdpa import build_attention
from flashlower.lowering.triton import runtime
from flashlower.lowering.triton.plan import Buffer, Launch, Plan
from flashlower.lowering.triton.runtime import Launcher, Remembered


class Driver:
    """Triton's, as far as a warm call asks it."""

    def get_current_stream(self, device: int) -> int:
        return 7

    def get_current_device(self) -> int:
        return 0


class Warm:
    """A launcher that remembers the calls of one kernel, with and without `out` and `workspace`."""

    def __init__(self) -> None:
        self.launches = 0
        self.q, self.k, self.v = torch.randn(2, 4, 1, 16), torch.randn(2, 2, 40, 16), torch.randn(2, 2, 40, 16)
        self.lens = torch.tensor([40, 7], dtype=torch.int32)
        self.out = torch.empty(2, 4, 1, 16)
        module = build_attention(self.q, self.k, self.v, kv_lens=self.lens).module
        kernel = fl.compile(str(module), splits=2)
        self.workspace = torch.empty(kernel.workspace_size(), dtype=torch.uint8)
        self.launcher = Launcher(kernel.source, kernel.entry, kernel.workspace_size())
        self.remember({})
        self.remember({"out": self.out})
        self.remember({"out": self.out, "workspace": self.workspace})

    @property
    def args(self) -> list[torch.Tensor]:
        return [self.q, self.k, self.v, self.lens]

    def remember(self, given: dict[str, torch.Tensor]) -> None:
        results = {name: x for name, x in given.items() if name == "out"}
        form = (len(self.args), "workspace" not in given, *[False for _ in results])
        read = runtime._signature(torch, [*self.args, *given.values()], form)
        assert read is not None
        buffers = () if results else (Buffer((2, 4, 1, 16), self.q.dtype, self.q.device),)
        plan = Plan(buffers, None, (), (), (Launch(self.start, lambda values: ()),), 4)
        pairs = runtime._pairs(self.args, results, given.get("workspace"))
        self.launcher._plans.put(read[0], Remembered(plan, 0, pairs, form, [*read[0][5::5]]))

    def start(self, *, stream: int) -> None:
        assert stream == 7
        self.launches += 1

    def is_warm(self, *args: Any, **given: Any) -> bool:
        before = self.launches
        self.launcher(args, **given)
        return self.launches > before


@pytest.fixture(params=["at once", "one by one"])
def warm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Warm:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(runtime, "_driver", lambda: Driver())
    if request.param == "one by one":
        monkeypatch.setattr(runtime, "tensor_guard", lambda tensors: None)
    found = Warm()
    for given in ({}, {"out": found.out}, {"out": found.out, "workspace": found.workspace}) * 2:
        assert found.is_warm(*found.args, **given)
        assert found.is_warm(*found.args, **given)
    return found


def test_torch_tells_at_once(warm: Warm, request: pytest.FixtureRequest) -> None:
    """What makes calls fast is there in this version of torch."""
    last = warm.launcher._last
    assert last is not None and (last.guard is not None) == ("at once" in request.node.name)


def test_calls_with_other_memory_of_the_same_kind_are_warm(warm: Warm) -> None:
    moved = [x.clone() for x in warm.args]
    assert warm.is_warm(*moved) and warm.is_warm(*moved, out=torch.empty_like(warm.out))
    with torch.no_grad():
        assert warm.is_warm(*moved)
        assert warm.is_warm(*[x.requires_grad_(x.is_floating_point()) for x in moved])
    with torch.inference_mode():
        assert warm.is_warm(*warm.args) and warm.is_warm(*[x.clone() for x in warm.args])


def as_strided(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x, x], -1)[..., 0]


def unaligned(x: torch.Tensor) -> torch.Tensor:
    return torch.empty(x.numel() + 1)[1:].view(x.shape).copy_(x)


@pytest.mark.parametrize("change", [as_strided, unaligned, lambda x: torch.nn.Parameter(x, requires_grad=False)])
def test_what_a_plan_is_not_for_is_computed(warm: Warm, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    want = fl.attention(warm.q, warm.k, warm.v, kv_lens=warm.lens, splits=2)
    changed = change(warm.k)
    if not isinstance(changed, torch.nn.Parameter):
        before = warm.launches
        torch.testing.assert_close(warm.launcher((warm.q, changed, warm.v, warm.lens)), want)
        assert warm.launches == before
    else:
        assert warm.is_warm(warm.q, changed, warm.v, warm.lens)


def in_place(x: torch.Tensor) -> torch.Tensor:
    return x.transpose_(2, 3)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda x: x.half(), TypeError, "k has dtype float16, but float32 is expected"),
        (lambda x: x[:, :, :39], ValueError, r"k has shape \(2, 2, 39, 16\)"),
        (lambda x: x.flatten(), ValueError, r"k has shape \(2560,\)"),
        (in_place, ValueError, r"k has shape \(2, 2, 16, 40\)"),
        (lambda x: x.to("meta"), TypeError, "q is on cpu and k on meta"),
        (lambda x: x.numpy(), TypeError, "k is an array, q a tensor"),
        (lambda x: "k", TypeError, "k is a str, expected a NumPy array or a torch tensor"),
        (lambda x: None, TypeError, "k is a NoneType"),
        (lambda x: x.to_sparse(), TypeError, "k has layout torch.sparse_coo"),
        (lambda x: x.clone().requires_grad_(), ValueError, "k requires a gradient"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(
    warm: Warm, change: Callable[[torch.Tensor], Any], error: type[Exception], text: str
) -> None:
    k = warm.k.clone()
    for given in ({}, {"out": warm.out, "workspace": warm.workspace}):
        before = warm.launches
        with pytest.raises(error, match=text):
            warm.launcher((warm.q, change(k.clone()), warm.v, warm.lens), **given)
        assert warm.launches == before and warm.is_warm(warm.q, k, warm.v, warm.lens, **given)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (lambda w: {"out": w.q}, ValueError, "out and q share memory"),
        (lambda w: {"out": w.workspace[:512].view(torch.float32).view(2, 4, 1, 16), "workspace": w.workspace},
         ValueError, "share memory"),
        (lambda w: {"out": w.out.double()}, TypeError, "out has dtype float64"),
        (lambda w: {"out": w.out[:1]}, ValueError, "out has shape"),
        (lambda w: {"out": torch.zeros(1).expand(2, 4, 1, 16)}, ValueError, "several of its elements are one"),
        (lambda w: {"out": (w.out, w.out.clone())}, ValueError, "out has 2 tensors"),
        (lambda w: {"workspace": w.workspace}, ValueError, "a workspace needs out"),
        (lambda w: {"out": w.out, "workspace": w.workspace[:-1]}, ValueError, "workspace has .* bytes, but"),
        (lambda w: {"out": w.out, "workspace": torch.empty(w.workspace.numel() + 8, dtype=torch.uint8)[8:]},
         ValueError, "workspace must be aligned"),
        (lambda w: {"out": w.out, "workspace": np.zeros(w.workspace.numel(), np.uint8)}, TypeError, "are mixed"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_memory_for_results_is_said(
    warm: Warm, given: Callable[[Warm], dict[str, Any]], error: type[Exception], text: str
) -> None:
    before = warm.launches
    with pytest.raises(error, match=text):
        warm.launcher(warm.args, **given(warm))
    assert warm.launches == before


def test_a_missing_argument_is_an_error(warm: Warm) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        warm.launcher(warm.args[:3])
    # Four tensors as before, but the last one is where the result goes.
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        warm.launcher(warm.args[:3], out=warm.lens)
