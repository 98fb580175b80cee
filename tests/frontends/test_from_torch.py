"""Locks in that a PyTorch module becomes a module that `compile` and `interpret` take, with PyTorch's own numbers.

Users have modules with buffers of all kinds, keyword arguments and nested results; those must come through, in an order
that can be relied on. What cannot be exported is refused with what to do, before torch-mlir drops or misreads it.
torch-mlir is an extra: without it there is one error that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flashlower as fl

torch.manual_seed(0)
X = torch.randn(2, 3)


@pytest.fixture
def torch_mlir() -> None:
    pytest.importorskip("torch_mlir", reason="the extra torch-mlir is not installed")


def test_without_torch_mlir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_mlir.fx", None)
    with pytest.raises(ImportError, match=r"pip install 'flashlower\[torch,torch-mlir\]'"):
        fl.from_torch(nn.Identity(), torch.zeros(3))


@pytest.mark.usefixtures("torch_mlir")
@pytest.mark.parametrize("as_module", [False, True])
def test_attention_of_pytorch(as_module: bool) -> None:
    q, k, v = torch.randn(2, 6, 5, 24), torch.randn(2, 2, 90, 24), torch.randn(2, 2, 90, 24)

    class Attention(nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    module = fl.from_torch(Attention() if as_module else Attention().forward, q, k, v)
    want = Attention()(q, k, v).double().numpy()
    arrays = [x.numpy() for x in (q, k, v)]
    for out in (fl.compile(module, splits=2)(*arrays), fl.interpret(module, *arrays)):
        assert np.linalg.norm(out - want) < 1e-5 * np.linalg.norm(want)


class Buffers(nn.Module):
    """A constant of every kind, and a constant made on the way; `change` changes a buffer in place."""

    def __init__(self, change: bool = False) -> None:
        super().__init__()
        self.register_buffer("kept", torch.randn(3))
        self.register_buffer("derived", torch.randn(3), persistent=False)
        self.weight = nn.Parameter(torch.randn(3))
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.change:
            self.kept.add_(1)
        return x * self.kept + self.derived + self.weight * torch.tensor([1.0, 2.0, 3.0])


class Nested(nn.Module):
    """Tensors from everywhere in the arguments, to everywhere in the result."""

    def forward(self, pair: Any, table: Any, power: int, *, index: Any, skipped: Any = None, scale: Any = None) -> Any:
        a, b = pair
        assert skipped is None
        return {"sum": (a + b) ** power, "rest": [table["x"][index], None, 3, (a,)], "scaled": scale * b}


@pytest.mark.usefixtures("torch_mlir")
@pytest.mark.parametrize(
    "function, args, kwargs",
    [
        pytest.param(Buffers(), (X,), {}, id="buffers"),
        pytest.param(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout()).eval(), (X,), {}, id="eval"),
        pytest.param(nn.MultiheadAttention(6, 2), (torch.randn(5, 1, 6),) * 3, {}, id="train mode without effect"),
        pytest.param(
            Nested(),
            ((X, X.abs()), {"x": X}, 2),
            {"scale": torch.tensor(0.5), "index": torch.tensor([1, 0, 1]), "skipped": None},
            id="nested",
        ),
        pytest.param(lambda x, y: (y, x, x), (X, -X), {}, id="arguments returned"),
        pytest.param(lambda x, flag: x + 1 if flag else x, (X, True), {}, id="flag"),
        # torch-mlir reads every index below 0 as 0.
        pytest.param(lambda x: x[..., [-2]], (X,), {}, id="constant index from the end"),
        pytest.param(lambda x, i: x[i, :2], (X, torch.tensor([[-1, 0], [1, -2]])), {}, id="index from the end"),
        pytest.param(lambda x: x[torch.arange(2)[:, None], torch.arange(-1, -4, -1)], (X,), {}, id="range downwards"),
        pytest.param(
            lambda x, i, y: x.index_put((i,), y), (X, torch.tensor([-1]), X[:1]), {}, id="elements put at the end"
        ),
    ],
)
def test_results_of_modules(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module = fl.from_torch(function, *args, **kwargs)
    leaves = torch.utils._pytree.tree_leaves
    inputs = [x.numpy() for x in leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    with torch.no_grad():
        expected = [x.numpy() for x in leaves(function(*args, **kwargs)) if isinstance(x, torch.Tensor)]
    results = fl.interpret(module, *inputs)
    results = results if isinstance(results, tuple) else (results,)
    for result, want in zip(results, expected, strict=True):
        assert result.dtype == want.dtype
        np.testing.assert_allclose(result, want, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("torch_mlir")
def test_an_exported_program() -> None:
    model = Buffers()
    program = torch.export.export(model, (X,))
    np.testing.assert_allclose(fl.interpret(fl.from_torch(program), X.numpy()), model(X).detach().numpy(), rtol=1e-5)
    with pytest.raises(TypeError, match="an ExportedProgram has its arguments already"):
        fl.from_torch(program, X)


def test_a_module_stays_as_it_is(torch_mlir: None) -> None:
    model = nn.Sequential(nn.Dropout(), Buffers())
    model[0].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    fl.from_torch(model, X)
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def program_of_any_size() -> Any:
    return torch.export.export(Buffers(), (X,), dynamic_shapes=({0: torch.export.Dim("b", min=2, max=9)},))


@pytest.mark.usefixtures("torch_mlir")
@pytest.mark.parametrize(
    "function, args, error, message",
    [
        (nn.Dropout(), (X,), ValueError, r"native_dropout.* draws random numbers, .*: call \.eval\(\)"),
        (lambda x: x + torch.rand(3), (X,), ValueError, r"aten\.rand.* draws random numbers"),
        (nn.BatchNorm1d(3), (X,), ValueError, r"changes running_mean, running_var, .* call \.eval\(\) first"),
        (Buffers(change=True), (X,), ValueError, r"changes kept in place, .* return the new value"),
        (lambda x: x.mul_(2), (X.clone(),), ValueError, r"changes argument_0 in place"),
        (program_of_any_size, (), ValueError, r"x \(x\) has the symbolic size s\d+, but sizes must be known"),
        (lambda x: x.nonzero(), (X,), ValueError, r"aten\.nonzero.* has the symbolic size u0"),
        (lambda x: x if x.sum() > 0 else -x, (X,), ValueError, r"torch\.export cannot export function: GuardOnData"),
        (nn.Linear(3, 4), (), ValueError, r"torch\.export cannot export Linear: TypeError: .* missing 1 required"),
        (lambda x: torch.histc(x), (X,), ValueError, r"torch-mlir cannot lower .*: aten\.histc is unknown, at loc"),
        (lambda x: torch.fft.fft(x).real, (X,), ValueError, r"torch-mlir cannot lower .*: failed to legalize"),
        (lambda x: x, (np.zeros(3),), TypeError, r"an argument holds a ndarray, .*: convert arrays with torch\.as_te"),
        (lambda x: object(), (X,), ValueError, r"the result holds a object, .*: return its tensors, or register"),
    ],
)
def test_what_cannot_be_exported(
    function: Callable[..., Any], args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fl.from_torch(function() if function is program_of_any_size else function, *args)
