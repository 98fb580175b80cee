"""Locks in that kernels of cache updates give the bits that NumPy's interpreter gives, and that they compile.

Every format, group, cache and way to say where tokens go, in Triton's interpreter; on a GPU in
`test_gpu_update_cache.py`. Then the way there and back: attention over what was stored is attention over the
dequantised values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantizers import KINDS
from update_cases import UpdateCase, random_case

import flashlower as fl
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.convert import ConvertAttentionToTritonPass

pytest.importorskip("triton", reason="kernels run where Triton can be installed")


def check(case: UpdateCase) -> None:
    text, inputs = case.module_text(), case.inputs()
    expected = run_module(parse_module(text), inputs)
    given = [array.copy() for array in inputs]
    results = fl.compile(text)(*given)
    results = results if isinstance(results, tuple) else (results,)
    for found, want in zip(results, expected, strict=True):
        same = found == want
        if want.dtype.kind != "i":
            same |= (found != found) & (want != want)
        assert same.all(), case
    # In place: the results are the caches that were given.
    caches = [array for array, (name, _, _, _) in zip(given, case.operands()) if name.startswith("cache")]
    assert all(any(result is cache for cache in caches) for result in results)


@pytest.mark.parametrize("seed", range(30))
def test_random_updates(seed: int) -> None:
    check(random_case(np.random.default_rng([seed, 22])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("codes", "zero"), [("u4", 7), ("i8", 0)])
def test_the_bytes_of_lightllm(codes: str, zero: int, kind: str) -> None:
    options: Any = {"cache": "token_table", "places": "slots", "codes": codes, "zero": zero, "kind": kind}
    check(UpdateCase(channels=128, group=8, rounding="toward_zero", **options))


COMPILED = {
    "lightllm": {"cache": "token_table", "places": "slots", "zero": 7, "group": 8, "rounding": "toward_zero"},
    "planar": {"cache": "head_major", "storage": "i32", "planar": True, "group": 32, "zero": 8},
    "kivi": {"cache": "head_major", "part": "offset", "token_group": 16, "group": 1, "tokens": 32, "channels": 64},
    "int8": {"cache": "token_major", "codes": "i8", "scale": "f32", "rows": True},
    "fp8 as bits": {"cache": "token_major", "codes": "f8E4M3FN", "scale": "f32"},
    "fp8": {"cache": "token_major", "codes": "f8E5M2", "storage": "f8E5M2", "given": "tensor", "scale": "f32"},
    "floats": {"codes": "", "storage": "f16"},
}


@pytest.mark.parametrize("options", COMPILED.values(), ids=COMPILED)
def test_compiles_for_every_target(options: Any) -> None:
    case = UpdateCase(**{"batch": 8, "heads": 8, "channels": 128, "page_size": 32, **options})
    module = parse_module(case.module_text())
    ConvertAttentionToTritonPass().apply(make_context(), module)
    assert len(compile_module_kernels(module)) == len(TARGETS)


def test_dynamic_sizes() -> None:
    """One kernel for any batch, number of tokens and of pages."""
    text = """
    func.func @main(%x: tensor<?x?x2x32xf32>, %pool: tensor<?x4x2x32xi8>, %s: tensor<?x4x2xf32>, %t: tensor<?x?xi32>,
                    %at: tensor<?xi32>) -> (tensor<?x4x2x32xi8>, tensor<?x4x2xf32>) {
      %c, %d = attention.update_cache new(%x[b, m, h, k] : tensor<?x?x2x32xf32>)
          cache(%pool[page, slot, h, k] : tensor<?x4x2x32xi8>) quantized(i8)
          cache_scale(%s[page, slot, h] : tensor<?x4x2xf32>)
          block_table(%t[b, p] : tensor<?x?xi32>) positions(%at[b] : tensor<?xi32>)
          quantizer(symmetric, to_nearest_even)
      func.return %c, %d : tensor<?x4x2x32xi8>, tensor<?x4x2xf32>
    }"""
    kernel, rng = fl.compile(text), np.random.default_rng(5)
    for batch, tokens, pages in ((1, 1, 3), (2, 5, 11)):
        inputs = [
            rng.standard_normal((batch, tokens, 2, 32)).astype(np.float32),
            rng.integers(-9, 9, (pages, 4, 2, 32)).astype(np.int8),
            rng.standard_normal((pages, 4, 2)).astype(np.float32),
            rng.permutation(pages)[: batch * 3].reshape(batch, 3).astype(np.int32),
            rng.integers(0, 8, batch).astype(np.int32),
        ]
        expected = run_module(parse_module(text), inputs)
        for found, want in zip(kernel(*(array.copy() for array in inputs)), expected, strict=True):
            assert np.array_equal(found, want)


MODEL = """
func.func @main(%x: tensor<1x2x1x32xf32>, %k: tensor<1x2x16x32xf32>, %v: tensor<1x2x16x32xf32>, %at: tensor<1xi32>,
                %len: tensor<1xi32>) -> (tensor<1x2x1x32xf32>, tensor<1x2x16x32xf32>, tensor<1x2x16x32xf32>) {
  %twice = "stablehlo.add"(%x, %x) : (tensor<1x2x1x32xf32>, tensor<1x2x1x32xf32>) -> tensor<1x2x1x32xf32>
  %nk = attention.update_cache new(%twice[b, h, m, k] : tensor<1x2x1x32xf32>)
      cache(%k[b, h, n, k] : tensor<1x2x16x32xf32>) positions(%at[b] : tensor<1xi32>)
  %nv = attention.update_cache new(%x[b, h, m, d] : tensor<1x2x1x32xf32>)
      cache(%v[b, h, n, d] : tensor<1x2x16x32xf32>) positions(%at[b] : tensor<1xi32>)
  %out = attention.sdpa q(%x[b, h, m, k] : tensor<1x2x1x32xf32>) k(%nk[b, h, n, k] : tensor<1x2x16x32xf32>)
      v(%nv[b, h, n, d] : tensor<1x2x16x32xf32>) kv_lens(%len[b] : tensor<1xi32>) scale(0.25)
      -> out[b, h, m, d] : tensor<1x2x1x32xf32>
  func.return %out, %nk, %nv : tensor<1x2x1x32xf32>, tensor<1x2x16x32xf32>, tensor<1x2x16x32xf32>
}
"""


def test_a_module_of_updates_and_attention() -> None:
    """Each becomes a kernel; as a whole module it runs, and leaves the caches that it was given alone."""
    rng = np.random.default_rng(3)
    x, k, v = (rng.standard_normal((1, 2, n, 32)).astype(np.float32) for n in (1, 16, 16))
    inputs = [x, k, v, np.array([7], np.int32), np.array([8], np.int32)]
    before = [array.copy() for array in inputs]
    want = fl.interpret(MODEL, *inputs)
    found = fl.interpret(MODEL, *inputs, kernels="triton")
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.array_equal(found[1][0, :, 7], 2 * x[0, :, 0])
    assert all(np.array_equal(array, old) for array, old in zip(inputs, before, strict=True))
    assert set(fl.compile(MODEL).functions) == {"main_attention_0", "main_attention_1", "main_attention_2"}
    # Without the sum, the launch function of the whole is a file's, too, and works in place.
    whole = fl.compile(MODEL.replace("new(%twice", "new(%x").replace(MODEL.splitlines()[3], ""))
    out, new_k, _ = whole(*inputs)
    assert new_k is k and np.array_equal(k[0, :, 7], x[0, :, 0]) and np.isfinite(out).all()
