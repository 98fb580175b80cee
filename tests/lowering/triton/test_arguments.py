"""Locks in what kernels and `flashlower.attention` refuse, with an error that names the tensor and the reason.

Wrong shapes and dtypes of attention are in `tests/test_api.py` and `tests/test_paged_api.py`; here is what tensors are:
their kind, device, memory, and whether they share it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flashlower as fl
from flashlower.lowering.triton.arguments import extent, overlap

Q, K, V = (np.random.default_rng(i).standard_normal((1, 2, n, 16)).astype(np.float32) for i, n in enumerate((3, 9, 9)))
TENSORS = [torch.from_numpy(x) for x in (Q, K, V)]
WANT = fl.attention(Q, K, V)
KERNEL = fl.compile(
    """
    func.func @main(%q: tensor<1x2x3x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>)
        -> tensor<1x2x3x16xf32> {
      %o = attention.sdpa q(%q[b, h, m, k] : tensor<1x2x3x16xf32>) k(%k[b, h, n, k] : tensor<1x2x9x16xf32>)
          v(%v[b, h, n, d] : tensor<1x2x9x16xf32>) scale(0.25) -> out[b, h, m, d] : tensor<1x2x3x16xf32>
      func.return %o : tensor<1x2x3x16xf32>
    }
    """,
    splits=1,
)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ([Q, K.tolist(), V], TypeError, "k is a list, expected a NumPy array or a torch tensor"),
        ([Q, K, None], TypeError, "v is a NoneType, expected a NumPy array or a torch tensor"),
        ([Q, K], TypeError, "missing 1 required positional argument: 'v'"),
        ([Q, K, V, V], TypeError, "3 positional arguments"),
        ([Q, K, TENSORS[2]], TypeError, "these are mixed: q is an array, v a tensor"),
        ([Q, 3, V], TypeError, "k has dtype int, but float32 is expected"),
        ([Q, K, V.astype(">f4")], TypeError, "native byte order"),
        ([x.to("meta") for x in TENSORS], TypeError, "on the CPU; q is on meta"),
        ([*TENSORS[:2], TENSORS[2].to("meta")], TypeError, "one device; q is on cpu and v on meta"),
        (
            [TENSORS[0], TENSORS[1].to_sparse(), TENSORS[2]],
            TypeError,
            "k has layout torch.sparse_coo, expected a dense",
        ),
        ([*TENSORS[:2], TENSORS[2].clone().requires_grad_()], ValueError, "v requires a gradient, and kernels compute"),
        ([*TENSORS[:2], TENSORS[2].double()], TypeError, "v has dtype float64, but float32 is expected"),
        (
            [*TENSORS[:2], TENSORS[2][..., :8]],
            ValueError,
            r"v has shape \(1, 2, 9, 8\), but \(1, 2, 9, 16\) is expected",
        ),
    ],
)
def test_arguments_that_do_not_fit(args: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        KERNEL(*args)


def test_gradients_may_be_off() -> None:
    q, k, v = (x.clone().requires_grad_() for x in TENSORS)
    with torch.no_grad():
        np.testing.assert_array_equal(fl.attention(q, k, v), WANT)
    np.testing.assert_array_equal(fl.attention(q.detach(), k.detach(), v.detach()), WANT)


@pytest.mark.parametrize("make", [np.array, lambda x: torch.from_numpy(x.copy())])
def test_results_have_memory_of_their_own(make: Any) -> None:
    q, k, v = make(Q), make(K), make(V)
    for out, shared in ((q, "q"), (k[:, :, 2:5], "k"), (v[:, :, 6:], "v")):
        with pytest.raises(ValueError, match=f"out and {shared} share memory: give out memory of its own"):
            fl.attention(q, k, v, out=out)
    out = make(Q)
    with pytest.raises(ValueError, match="out and lse share memory"):
        fl.attention(q, k, v, return_lse=True, out=(out, out.reshape(-1)[:6].reshape(1, 2, 3)))
    size = fl.workspace_size(q, k, v, splits=2)
    block = make(np.zeros(size + out.nbytes, np.uint8))
    floats = block[-out.nbytes :].view(out.dtype).reshape(out.shape)
    with pytest.raises(ValueError, match="out and workspace share memory"):
        fl.attention(q, k, v, splits=2, out=floats, workspace=block)
    # One after the other is fine.
    got = fl.attention(q, k, v, splits=2, out=floats, workspace=block[:size])
    np.testing.assert_allclose(got, WANT, atol=1e-6)


@pytest.mark.parametrize("make", [np.array, lambda x: torch.from_numpy(x.copy())])
def test_views_that_interleave_share_nothing(make: Any) -> None:
    """Rows and columns of one buffer, as in a fused projection."""
    rows = make(np.zeros((1, 2, 21, 32), np.float32))
    q, k, v, out = rows[:, :, 0:3, :16], rows[:, :, 3:12, :16], rows[:, :, 12:, :16], rows[:, :, 5:8, 16:]
    for view, values in ((q, Q), (k, K), (v, V)):
        view[...] = make(values)
    assert fl.attention(q, k, v, out=out) is out
    np.testing.assert_allclose(out, WANT, atol=1e-6)


def test_results_of_negative_strides() -> None:
    """Arrays may run backwards, inputs and results; torch has no such tensors."""
    out = np.zeros((1, 2, 3, 16), np.float32)[:, ::-1, :, ::-1]
    assert fl.attention(Q, K[:, :, ::-1], V[:, :, ::-1], out=out) is out
    np.testing.assert_allclose(out, WANT, atol=1e-6)


def test_overlap_is_exact() -> None:
    """Against a count of addresses, for random views of one buffer."""
    rng = np.random.default_rng(2)
    buffer = torch.zeros(300)
    seen = {True: 0, False: 0}
    for _ in range(300):
        views = []
        for _ in range(2):
            shape, strides = rng.integers(0, 5, 3).tolist(), rng.integers(0, 20, 3).tolist()
            views.append(buffer.as_strided(shape, strides, int(rng.integers(0, 50))))
        elements = [{int(x) for x in view_offsets(view)} for view in views]
        want = bool(elements[0] & elements[1])
        assert overlap(*views) == want
        seen[want] += 1
        for view, offsets in zip(views, elements):
            assert extent(view) == (4 * (max(offsets) - min(offsets) + 1) if offsets else 0)
    assert min(seen.values()) > 30


def view_offsets(view: torch.Tensor) -> Any:
    grids = np.indices(tuple(view.shape))
    return (view.storage_offset() + sum(g * s for g, s in zip(grids, view.stride()))).ravel()
