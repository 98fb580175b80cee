"""
Locks in `flashlower.explain`, the remarks of `fuse-attention{explain=true}` for Python: one for each softmax of real
exports, none for anything else in whole models, and none without the option.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import flashlower
from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.rewrites.fuse_attention import FuseAttentionPass

CORPUS = Path(__file__).parents[1] / "corpus"

CASES = [
    (path, case["groups"])
    for front_end in ("jax", "torch", "onnx")
    for name, case in json.loads((CORPUS / front_end / "meta.json").read_text()).items()
    if (path := CORPUS / front_end / f"{name}.mlir").exists()
]


@pytest.mark.parametrize(("path", "groups"), CASES, ids=[f"{path.parent.name}-{path.stem}" for path, _ in CASES])
def test_every_softmax_of_real_exports_is_spoken_of(path: Path, groups: int) -> None:
    remarks = flashlower.explain(path.read_text())
    assert sum(remark.fused for remark in remarks) == groups
    # Exports without attention have one softmax each, and the whole models no other than attention's.
    assert len(remarks) == max(groups, 1)


def test_the_module_stays_as_it_is() -> None:
    module = parse_module((CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text())
    before = str(module)
    (remark,) = flashlower.explain(module)
    assert remark.fused
    assert "KV heads 2, group 4" in remark.message
    assert str(module) == before


def test_without_the_option_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CORPUS / "jax" / "gqa_decode_repeat.mlir").read_text()
    FuseAttentionPass().apply(make_context(), parse_module(text))
    assert capsys.readouterr().err == ""
    FuseAttentionPass(explain=True).apply(make_context(), parse_module(text))
    assert "remark: fused: " in capsys.readouterr().err


def test_composite_of_jax_in_a_loop() -> None:
    """`jax.lax.composite` inside `jax.lax.scan`, as JAX exports it, against JAX's own numbers."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def attention(q, k, v, *, scale):
        keep = jnp.tril(jnp.ones((q.shape[2], k.shape[2]), bool))
        s = jnp.where(keep, jnp.einsum("bhmk,bhnk->bhmn", q, k) * scale, -jnp.inf)
        return jnp.einsum("bhmn,bhnd->bhmd", jax.nn.softmax(s), v)

    composite = jax.lax.composite(attention, "my.attention", version=1)

    def model(q, k, v):
        return jax.lax.scan(lambda x, _: (composite(x, k, v, scale=0.25), None), q, None, length=3)[0]

    rng = np.random.default_rng(3)
    args = [rng.standard_normal((2, 2, 8, 16)).astype(np.float32) for _ in range(3)]
    module = flashlower.from_jax(model, *args)
    assert any(op.name == "stablehlo.composite" for op in module.walk())
    (unfused,) = run_module(module, args)
    FuseAttentionPass().apply(make_context(), module)
    (sdpa,) = (op for op in module.walk() if isinstance(op, SdpaOp))
    assert sdpa.scale.value.data == 0.25
    (fused,) = run_module(module, args)
    expected = np.asarray(model(*args))
    for got in (unfused, fused):
        assert np.linalg.norm(got - expected) < 1e-6 * np.linalg.norm(expected)
