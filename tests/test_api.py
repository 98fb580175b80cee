"""Locks in the Python API: what `compile`, `attention` and `interpret` compute, return and refuse.

Kernels run in Triton's interpreter on NumPy arrays and CPU tensors; the reference is plain float64 NumPy, written
here for one score function at a time. Messages for wrong use are part of the interface, so they are compared too.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from xdsl.utils.exceptions import DiagnosticException

import flashlower as fl
from flashlower.dialects.parsing import parse_module
from flashlower.lowering.triton.loading import TritonNotFoundError

CORPUS = Path(__file__).parent / "corpus"
RNG = np.random.default_rng()


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def relative_error(result: Any, expected: Any) -> float:
    difference = np.asarray(result).astype(np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def reference(
    q: Any, k: Any, v: Any, change: Callable[[Any], Any] = lambda s: s, scale: float | None = None, lens: Any = None
) -> tuple[Any, Any]:
    """Attention of [B, H, M, K] arrays in float64; `change` maps logits [B, Hq, M, N]. Returns out and LSE."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat(group, axis=1) for x in (k, v))
    s = change(q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale))
    if lens is not None:
        s = np.where(np.arange(k.shape[2]) < np.asarray(lens)[:, None, None, None], s, -np.inf)
    top = s.max(-1, keepdims=True, initial=-np.inf)
    p = np.exp(s - np.where(np.isinf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + np.where(np.isinf(top), 0, top))[..., 0]
    return p @ v / np.where(total == 0, 1, total), lse


B, HQ, HKV, M, N, K, D = 2, 6, 2, 3, 150, 24, 16


@pytest.fixture
def qkv() -> tuple[Any, Any, Any]:
    return draw(B, HQ, M, K), draw(B, HKV, N, K), draw(B, HKV, N, D)


# compile


def test_compile_runs_text_and_modules(tmp_path: Path) -> None:
    text = (CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text()
    module = parse_module(text)
    before = str(module)
    q, k, v = draw(2, 8, 1, 16), draw(2, 2, 128, 16), draw(2, 2, 128, 16)
    for kernel in (fl.compile(text), fl.compile(module, splits=3)):
        assert relative_error(kernel(q, k, v), reference(q, k, v)[0]) < 1e-6
        assert list(kernel.stages) == [
            "input",
            "fuse-attention",
            "outline-attention",
            "infer-attention-bounds",
            "schedule-attention",
            "flash-decoding",
            "convert-attention-to-triton",
        ]
        assert kernel.functions == ("main",)
    assert str(module) == before


def test_compile_takes_parts_of_a_schedule() -> None:
    text = (CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text()
    kernel = fl.compile(text, splits=2, schedule={"block_n": 16, "warps": 2})
    assert "block_n = 16, warps = 2" in kernel.stages["flash-decoding"]
    q, k, v = draw(2, 8, 1, 16), draw(2, 2, 128, 16), draw(2, 2, 128, 16)
    assert relative_error(kernel(q, k, v), reference(q, k, v)[0]) < 1e-6
    with pytest.raises(ValueError, match="a schedule has no tile, expected any of: block_m, block_n, warps, stages"):
        fl.compile(text, schedule={"tile": 16})
    with pytest.raises(DiagnosticException, match="warps is 3, expected 1, 2, 4, 8, 16 or 32"):
        fl.compile(text, schedule={"warps": 3})


def test_the_saved_file_stands_alone(tmp_path: Path) -> None:
    kernel = fl.compile((CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text(), splits=2)
    path = kernel.save(tmp_path / "decode.py")
    assert path.read_text() == kernel.source
    assert "flashlower" not in "".join(line for line in kernel.source.splitlines() if "import" in line)
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, torch, decode\n"
        "q, k, v = (torch.randn(s) for s in ((2, 8, 1, 16), (2, 2, 128, 16), (2, 2, 128, 16)))\n"
        "out = decode.main(q, k, v)\n"
        "want = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)\n"
        "assert torch.linalg.norm(out - want) < 1e-5 * torch.linalg.norm(want)\n"
        "assert not any(name.partition('.')[0] in ('flashlower', 'xdsl') for name in sys.modules)\n"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, timeout=120)


def test_torch_tensors_give_torch_tensors() -> None:
    kernel = fl.compile((CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text())
    q, k, v = draw(2, 8, 1, 16), draw(2, 2, 128, 16), draw(2, 2, 128, 16)
    out = kernel(*(torch.from_numpy(x) for x in (q, k, v)))
    assert isinstance(out, torch.Tensor)
    assert relative_error(out, reference(q, k, v)[0]) < 1e-6


def test_a_model_gives_kernels_and_says_that_it_is_more() -> None:
    kernel = fl.compile((CORPUS / "jax" / "llama2l_prefill_bf16.mlir").read_text())
    assert kernel.functions == ("main_attention_0", "main_attention_1")
    with pytest.raises(ValueError, match=r"@main is more than attention .*main_attention_0.*flashlower\.interpret"):
        kernel()
    q, k, v = (draw(*shape, dtype=ml_dtypes.bfloat16) for shape in ((1, 16, 4, 16), (1, 16, 2, 16), (1, 16, 2, 16)))
    # V is read where it was projected to, and the result written where it is projected from: [B, N, H * D].
    out = kernel(q, k, v.reshape(1, 16, 32), function="main_attention_0").reshape(1, 16, 4, 16)
    swapped = [x.swapaxes(1, 2) for x in (q, k, v)]
    causal = np.tril(np.ones((16, 16), bool))
    want = reference(*swapped, lambda s: np.where(causal, s, -np.inf))[0].swapaxes(1, 2)
    assert relative_error(out, want) < 1e-2


def test_a_module_without_attention() -> None:
    kernel = fl.compile((CORPUS / "jax" / "neg_probs_returned.mlir").read_text())
    assert kernel.functions == ()
    exec(compile(kernel.source, "kernels.py", "exec"), {})
    with pytest.raises(ValueError, match="@main is more than attention"):
        kernel()


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ([(2, 8, 1, 16), (2, 2, 128, 16)], TypeError, "missing 1 required positional argument: 'v'"),
        ([(2, 8, 1, 8), (2, 2, 128, 16), (2, 2, 128, 16)], ValueError, r"shape \(2, 8, 1, 8\).*\(2, 8, 1, 16\)"),
        ([(2, 8, 16), (2, 2, 128, 16), (2, 2, 128, 16)], ValueError, r"shape \(2, 8, 16\)"),
    ],
)
def test_calls_with_wrong_arguments(args: list[tuple[int, ...]], error: type[Exception], message: str) -> None:
    kernel = fl.compile((CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text())
    with pytest.raises(error, match=message):
        kernel(*(draw(*shape) for shape in args))


def test_calls_with_wrong_dtypes() -> None:
    kernel = fl.compile((CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text())
    with pytest.raises(TypeError, match="has dtype float64, but float32 is expected"):
        kernel(draw(2, 8, 1, 16, dtype=np.float64), draw(2, 2, 128, 16), draw(2, 2, 128, 16))
    with pytest.raises(TypeError, match="NumPy arrays, or all are torch tensors"):
        kernel(draw(2, 8, 1, 16), torch.zeros(2, 2, 128, 16), draw(2, 2, 128, 16))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text is empty"),
        ("builtin.module {", "1:17"),
        (
            "func.func @f(%a: tensor<2xf32>) -> tensor<2xf32> {\n  %0 = stablehlo.add %a, %a : tensor<2xf32>\n}",
            r"2:.*generic form.*print_generic_op_form",
        ),
        (
            '%a = "stablehlo.constant"() <{value = dense<0.0> : tensor<2xf32>}> : () -> tensor<2xf32>\n'
            '%0 = "stablehlo.add"(%a, %a) : (tensor<2xf32>, tensor<2xf32>) -> tensor<3xf32>',
            r"2:.*stablehlo.add does not verify",
        ),
    ],
)
def test_modules_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(DiagnosticException, match=message):
        fl.compile(text)


def test_other_targets_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="target is 'cuda', expected one of: triton"):
        fl.compile("builtin.module {}", target="cuda")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a ModuleOp or the text of a module, got int"):
        fl.compile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a ModuleOp or the text of a module, got NoneType"):
        fl.explain(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cores": 2}, "cores is 2, expected 1: it is for NKI kernels"),
        ({"target": "nki", "cores": 3}, "cores is 3, expected 1 or 2"),
        ({"schedule": {"block_n": "16"}}, "block_n of the schedule is '16', expected a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fl.compile("builtin.module {}", **options)


@pytest.mark.parametrize(
    "name", ["x\\0Aimport os", "x\\22; import os; \\22", "x'y", "class", "a b", "__import__('os')"]
)
def test_names_never_become_code(name: str) -> None:
    text = (CORPUS / "torch" / "sdpa.mlir").read_text().replace('sym_name = "main"', f'sym_name = "{name}"')
    assert 'sym_name = "main"' not in text
    with pytest.raises(DiagnosticException, match="cannot name a Python function"):
        fl.compile(text)


def test_without_triton_only_running_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    kernel = fl.compile((CORPUS / "torch" / "sdpa.mlir").read_text(), splits=5)
    assert "@triton.jit" in kernel.source
    with pytest.raises(TritonNotFoundError, match="pip install triton"):
        kernel(draw(2, 4, 1, 16), draw(2, 4, 128, 16), draw(2, 4, 128, 16))


# interpret


def test_interpret_returns_an_array_or_a_tuple() -> None:
    module = (CORPUS / "jax" / "kvcache_decode_len.mlir").read_text()
    with np.load(CORPUS / "jax" / "kvcache_decode_len.npz") as data:
        inputs = [data[f"in{i}"] for i in range(6)]
    results = fl.interpret(module, *inputs, kernels="triton")
    assert isinstance(results, tuple)
    assert len(results) == 3
    text = (CORPUS / "torch" / "sdpa.mlir").read_text()
    out = fl.interpret(text, draw(2, 4, 1, 16), draw(2, 4, 128, 16), draw(2, 4, 128, 16))
    assert isinstance(out, np.ndarray)


def test_interpret_refuses() -> None:
    text = (CORPUS / "torch" / "sdpa.mlir").read_text()
    with pytest.raises(ValueError, match="kernels is 'cuda', expected 'numpy', 'triton' or 'nki'"):
        fl.interpret(text, kernels="cuda")  # type: ignore[arg-type]
    with pytest.raises(DiagnosticException, match="takes 3 arguments, but got 1"):
        fl.interpret(text, draw(2, 4, 1, 16))
    with pytest.raises(DiagnosticException, match="no @g"):
        fl.interpret(text, function="g")


# attention


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("splits", [None, 1, 2, 7])
def test_attention(dtype: Any, splits: int | None) -> None:
    q, k, v = draw(B, HQ, M, K, dtype=dtype), draw(B, HKV, N, K, dtype=dtype), draw(B, HKV, N, D, dtype=dtype)
    out, lse = fl.attention(q, k, v, splits=splits, return_lse=True, scale=0.3)
    want, want_lse = reference(q, k, v, scale=0.3)
    assert out.dtype == dtype
    assert lse.dtype == np.float32
    limit = 1e-5 if dtype == np.float32 else 2e-3 if dtype == np.float16 else 1e-2
    assert relative_error(out, want) < limit
    assert relative_error(lse, want_lse) < 1e-5


@pytest.mark.parametrize("lens", [None, np.array([150, 7], np.int32)])
def test_a_mask_that_leaves_no_key(lens: Any, qkv: tuple[Any, Any, Any]) -> None:
    """Known before the call: the number of splits is chosen for no keys at all."""
    q, k, v = qkv
    out, lse = fl.attention(q[:, :, :1], k, v, kv_lens=lens, score=fl.causal(-2), return_lse=True)
    assert not out.any() and np.isneginf(lse).all()


def test_threads_may_call_at_once(qkv: tuple[Any, Any, Any]) -> None:
    """The same new calls, score functions traced at the same time included."""
    q, k, v = qkv

    def work(thread: int) -> None:
        for i in range(3):
            limit = (i + thread) % 3 * 40 + 10
            out = fl.attention(q, k, v, score=lambda s, b, h, m, n, limit=limit: fl.where(n < limit, s, -math.inf))
            want = reference(q, k, v, lambda s, limit=limit: np.where(np.arange(N) < limit, s, -np.inf))[0]
            assert relative_error(out, want) < 1e-6

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, thread) for thread in range(4)]:
            future.result()


def test_attention_in_bshd_and_with_any_strides(qkv: tuple[Any, Any, Any]) -> None:
    q, k, v = qkv
    want = reference(q, k, v)[0]
    assert relative_error(fl.attention(*(x.swapaxes(1, 2) for x in qkv), layout="bshd").swapaxes(1, 2), want) < 1e-5
    backwards = [x[:, :, ::-1][:, :, ::-1] for x in qkv]
    wide = [np.repeat(x, 2, axis=-1)[..., ::2] for x in qkv]
    assert relative_error(fl.attention(*backwards), want) < 1e-5
    assert relative_error(fl.attention(*wide), want) < 1e-5


POSITION = np.arange(M)[:, None] + N - M
KEYS = np.arange(N)[None, :]


@pytest.mark.parametrize(
    ("score", "change"),
    [
        (fl.causal(), lambda s: np.where(POSITION >= KEYS, s, -np.inf)),
        (fl.causal(0), lambda s: np.where(np.arange(M)[:, None] >= KEYS, s, -np.inf)),
        (fl.causal(-2), lambda s: np.where(np.arange(M)[:, None] - 2 >= KEYS, s, -np.inf)),
        (fl.window(20, 0), lambda s: np.where((POSITION - 20 <= KEYS) & (KEYS <= POSITION), s, -np.inf)),
        (fl.window(5, 5, 40), lambda s: np.where(abs(KEYS - np.arange(M)[:, None] - 40) <= 5, s, -np.inf)),
        (fl.soft_cap(2.0), lambda s: 2 * np.tanh(s / 2)),
        (fl.chain(fl.soft_cap(3.0), fl.causal()), lambda s: np.where(POSITION >= KEYS, 3 * np.tanh(s / 3), -np.inf)),
        (lambda s, b, h, m, n: s * 2 - fl.exp(s / 4), lambda s: s * 2 - np.exp(s / 4)),
        (lambda s, b, h, m, n: fl.where((n % 3 == 1) | ~(n > 9), s, -1e30), None),
        (lambda s, b, h, m, n: s + 0.5 * h - b * (n // 7) / (m + 1), None),
    ],
)
def test_score_functions(score: Any, change: Any, qkv: tuple[Any, Any, Any]) -> None:
    if change is None:
        # The function itself, on arrays of indices.
        b, h, m, n = np.ogrid[:B, :HQ, :M, :N]

        def change(s: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fl, "where", np.where, raising=False)
                return score(s, b, h, m, n)

    want, want_lse = reference(*qkv, change)
    for splits in (1, 3):
        out, lse = fl.attention(*qkv, score=score, splits=splits, return_lse=True)
        if want.any():
            assert relative_error(out, want) < 1e-5
        else:
            assert not out.any()
        assert np.array_equal(np.isinf(lse), np.isinf(want_lse))


def test_captured_tensors(qkv: tuple[Any, Any, Any]) -> None:
    slopes = abs(draw(HQ))
    documents = RNG.integers(0, 3, (B, N)).astype(np.int32)
    table = draw(1, HQ, 1, N, dtype=np.float16)
    keep = RNG.random((B, 1, M, N)) < 0.5
    keep[0, :, 1] = False
    holder = [slopes]

    want = reference(*qkv, lambda s: s + slopes[:, None, None] * (KEYS - POSITION))[0]
    assert relative_error(fl.attention(*qkv, score=fl.alibi(slopes)), want) < 1e-5

    want = reference(*qkv, lambda s: s + table.astype(np.float64))[0]
    assert relative_error(fl.attention(*qkv, score=fl.bias(table)), want) < 1e-5

    want = reference(*qkv, lambda s: np.where(keep, s, -np.inf))[0]
    out = fl.attention(*qkv, score=fl.mask(keep))
    assert relative_error(out, want) < 1e-5
    assert not out[0, :, 1].any()

    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return fl.where(documents[b, m] == documents[b, n], s + slopes[h] * fl.captured(holder[0])[h], -math.inf)

    same = documents[:, None, :M, None] == documents[:, None, None, :]
    want = reference(*qkv, lambda s: np.where(same, s + (slopes**2)[:, None, None], -np.inf))[0]
    assert relative_error(fl.attention(*qkv, score=score), want) < 1e-5


@pytest.mark.parametrize("masked", [-1e4, -2.3819763e38, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("splits", [1, 2, 3, 7, 16])
def test_finite_masks_keep_their_meaning(masked: float, splits: int, qkv: tuple[Any, Any, Any]) -> None:
    # A fully masked row is the mean of all values, as its logits are equal; they must not become -inf on the way, and
    # splits of 128 and 22 keys must not weigh the same because their LSE do.
    keep = RNG.random((M, N)) < 0.3
    keep[1] = False

    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return fl.where(keep[m, n], s, masked)

    want, want_lse = reference(*qkv, lambda s: np.where(keep, s, np.float64(np.float32(masked))))
    out, lse = fl.attention(*qkv, score=score, splits=splits, return_lse=True)
    assert relative_error(out, want) < 1e-5
    assert relative_error(out[:, :, 1], want[:, :, 1]) < 1e-5
    assert relative_error(lse, want_lse) < 1e-5


@pytest.mark.parametrize("splits", [1, 3])
def test_finite_masks_in_a_tensor_keep_their_meaning(splits: int) -> None:
    # Here the large number is an element of a captured tensor.
    q, k, v = (draw(2, 3, size, 16, dtype=ml_dtypes.bfloat16) for size in (2, 300, 300))
    bias = np.where(RNG.random((2, 300)) < 0.3, np.float32(0), np.float32(-1e4))
    bias[1] = -1e4
    wide = bias.astype(np.float64)
    want = reference(q, k, v, lambda s: np.where(wide == 0, s, wide))[0]

    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return fl.where(bias[m, n] == 0, s, bias[m, n])

    out = fl.attention(q, k, v, score=score, splits=splits)
    assert out.dtype == ml_dtypes.bfloat16
    assert relative_error(out[:, :, 1], want[:, :, 1]) < 5e-3
    assert relative_error(out, want) < 5e-3


@pytest.mark.parametrize("splits", [1, 4])
@pytest.mark.parametrize("integer", [np.int32, np.int64])
def test_lengths_and_sinks(splits: int, integer: Any, qkv: tuple[Any, Any, Any]) -> None:
    for lens in ([0, N], [1, 77], [N + 5, 130]):
        lengths = np.array(lens, integer)
        q, k, v = (x.copy() for x in qkv)
        for b, length in enumerate(lens):
            k[b, :, length:] = np.nan
            v[b, :, length:] = np.nan
        clean = [np.nan_to_num(x) for x in (k, v)]
        want, want_lse = reference(q, *clean, lens=lens)
        out, lse = fl.attention(q, k, v, kv_lens=lengths, splits=splits, return_lse=True)
        assert relative_error(out, want) < 1e-5
        assert np.allclose(lse, want_lse, rtol=1e-5, atol=1e-5)
        # The last query sees the last existing key.
        position = np.arange(M)[None, None, :, None] + np.array(lens)[:, None, None, None] - M
        want = reference(q, *clean, lambda s, p=position: np.where(p >= KEYS, s, -np.inf), lens=lens)[0]
        assert relative_error(fl.attention(q, k, v, kv_lens=lengths, splits=splits, score=fl.causal()), want) < 1e-5
    sinks = draw(HQ)
    q, k, v = qkv
    plain, plain_lse = reference(q, k, v)
    lse = np.logaddexp(plain_lse, sinks.astype(np.float64)[:, None])
    want = plain * np.exp(plain_lse - lse)[..., None]
    out, out_lse = fl.attention(q, k, v, sinks=sinks, splits=splits, return_lse=True)
    assert relative_error(out, want) < 1e-5
    assert np.allclose(out_lse, lse, atol=1e-5)


def test_no_keys() -> None:
    out, lse = fl.attention(draw(2, 2, 1, 16), draw(2, 2, 0, 16), draw(2, 2, 0, 16), return_lse=True)
    assert out.shape == (2, 2, 1, 16)
    assert not out.any()
    assert np.isneginf(lse).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layout": "sbhd"}, ValueError, "layout is 'sbhd', expected 'bhsd' or 'bshd'"),
        ({"q": draw(B, HQ, K)}, ValueError, r"q has shape \[2, 6, 24\], expected 4 dimensions"),
        ({"q": draw(B, 5, M, K)}, ValueError, "q has 5 heads, which is no multiple of the 2 heads of k and v"),
        ({"v": draw(B, HKV, N + 1, D)}, ValueError, "length of k and v differ: 150 and 151"),
        ({"q": draw(B, HQ, M, K, dtype=np.float16)}, TypeError, "q has elements of type f16, but k of type f32"),
        ({"q": draw(B, HQ, M, K).astype(complex)}, TypeError, "q has dtype complex128"),
        ({"kv_lens": np.zeros(3, np.int32)}, ValueError, r"kv_lens has shape \[3\], expected \[2\]"),
        ({"kv_lens": np.zeros(2, np.float32)}, TypeError, "kv_lens has elements of type f32, expected i32 or i64"),
        ({"sinks": np.zeros(2, np.float32)}, ValueError, r"sinks has shape \[2\], expected \[6\]"),
        ({"splits": 0}, ValueError, "splits is 0, expected a whole number, at least 1"),
        ({"splits": "2"}, ValueError, "splits is '2', expected a whole number, at least 1"),
        ({"layout": np.zeros(3)}, ValueError, "expected 'bhsd' or 'bshd'"),
        # The IR of a scale that is no number would be read back as another one.
        ({"scale": np.nan}, ValueError, "scale is nan, expected a finite number"),
        ({"scale": -np.inf}, ValueError, "scale is -inf, expected a finite number"),
        ({"scale": "x"}, TypeError, "scale is a str, expected a number"),
        ({"scale": np.ones(2)}, TypeError, "scale is a ndarray, expected a number"),
        ({"scale": 10**400}, TypeError, "scale is a int, expected a number"),
        ({"score": 3}, TypeError, r"score is a int, expected a function score\(s, b, h, m, n\)"),
        ({"score": fl.bias(draw(3, 1, 1, N))}, ValueError, r"bias has shape \[3, 1, 1, 150\], which does not broad"),
        ({"score": lambda s, b, h, m, n: s if n > m else 0}, TypeError, r"use flashlower\.where"),
        ({"score": lambda s, b, h, m, n: n > m}, TypeError, "must return a logit"),
        ({"score": lambda s, b, h, m, n: s + [1, 2][n]}, TypeError, r"flashlower\.captured"),
        ({"score": lambda s, b, h, m, n: s + "x"}, TypeError, "computes with str"),
    ],
)
def test_attention_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    tensors = {"q": draw(B, HQ, M, K), "k": draw(B, HKV, N, K), "v": draw(B, HKV, N, D)}
    with pytest.raises(error, match=message):
        fl.attention(**{**tensors, **arguments})


def test_score_functions_only_compute_inside_attention() -> None:
    with pytest.raises(TypeError, match=r"only compute inside flashlower\.attention"):
        fl.captured(np.zeros(3))[0]
