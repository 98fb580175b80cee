"""Locks in what NKI kernels compute: every feature of attention against a float64 reference, on all three targets.

The kernels run on the model in `tests/nki_model`, which is strict about the documented rules of the instructions, or on
Amazon's simulator where Neuron's package is installed.
"""

import dataclasses

import ml_dtypes
import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from attention_reference import reference_attention
from nki_kernels import relative_error, run
from pipelines import transform
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.lowering.nki.cost import account

TOLERANCE = {"f32": 1e-5, "f16": 1e-3, "bf16": 5e-3}
"""Relative error of the output; LSE is held to 1e-4, as exponentials are summed after they are rounded."""
TARGETS = ("trn1", "trn2", "trn3")
BOUNDS = "infer-attention-bounds"

SMALL = [case for case in CASES if case.dtype != "f64" and not case.page_size]


def check(case: AttentionCase, **options: object) -> None:
    got, want = run(case.module_text(), case.inputs(), **options), case.expected()  # pyright: ignore[reportArgumentType]
    assert len(got) == len(want)
    for result, expected, tolerance in zip(got, want, (TOLERANCE[case.dtype], 1e-4), strict=False):
        assert result.shape == expected.shape
        assert relative_error(result, expected) <= tolerance


@pytest.mark.parametrize("number", range(len(SMALL)), ids=lambda number: str(SMALL[number]))
def test_every_feature(number: int):
    case = SMALL[number]
    # Gathers by computed indices need NeuronCore-v3.
    check(case, target="trn2" if "strided" in case.steps or "relative" in case.steps else TARGETS[number % 3])


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 6, 9, 13])
def test_rows_on_the_partitions(number: int):
    check(SMALL[number], arrangement="rows", target=TARGETS[number % 3])


@pytest.mark.parametrize("seed", range(10))
def test_random_mixtures(seed: int):
    rng = np.random.default_rng(100 + seed)
    case = next(case for case in iter(lambda: random_case(rng), None) if not case.page_size)
    if case.dtype == "f64":
        case = dataclasses.replace(case, dtype="f32")
    cores = int(rng.integers(1, 3))
    check(case, splits=int(rng.choice([0, 0, 2, 7])), target="trn2", cores=cores)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("keys", [1, 100, 128, 241])
def test_lengths_of_sequences(keys: int, target: str):
    check(AttentionCase(keys=keys, kv_lens=True, group=4, dtype="bf16", steps=("causal",)), target=target)


@pytest.mark.parametrize(("keys", "target"), [(4096, "trn1"), (4096, "trn3"), (16384, "trn2")])
def test_long_sequences(keys: int, target: str):
    case = AttentionCase(keys=keys, batch=(1,), kv_heads=2, group=4, head_size=64, value_size=64, dtype="bf16")
    check(case, target=target)


@pytest.mark.parametrize(("head_size", "value_size"), [(80, 40), (128, 128), (256, 256), (192, 128), (576, 512)])
def test_head_sizes(head_size: int, value_size: int):
    """Contractions over more than 128 partitions are cut; so are outputs."""
    case = AttentionCase(head_size=head_size, value_size=value_size, keys=200, kv_lens=True, group=3)
    check(case)
    check(dataclasses.replace(case, dtype="bf16"), arrangement="rows")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("arrangement", ["keys", "rows"])
def test_prefill(arrangement: str, target: str):
    """The last block of queries overlaps the one before, and K and V are kept for all blocks of a head."""
    case = AttentionCase(
        queries=150, keys=300, batch=(1,), group=2, head_size=32, value_size=32, steps=("causal_late",), sinks=True
    )
    check(case, arrangement=arrangement, target=target)


@pytest.mark.parametrize(
    ("keys", "splits", "cores"), [(100, 3, 1), (241, 2, 2), (1000, 3, 2), (1000, 7, 1), (1000, 4, 2)]
)
def test_splits(keys: int, splits: int, cores: int):
    case = AttentionCase(keys=keys, kv_lens=True, sinks=splits == 3, batch=(2,), kv_heads=1, group=4, steps=("bias",))
    check(case, splits=splits, cores=cores)


@pytest.mark.parametrize("arrangement", ["keys", "rows"])
def test_two_cores_share_heads_or_queries(arrangement: str):
    check(AttentionCase(batch=(3,), kv_heads=2, group=4, keys=200), cores=2, arrangement=arrangement)
    check(AttentionCase(batch=(1,), kv_heads=1, group=1, queries=140, keys=140), cores=2, arrangement=arrangement)


@pytest.mark.parametrize("arrangement", ["keys", "rows"])
@pytest.mark.parametrize(
    ("steps", "queries", "keys", "splits"),
    [
        (("causal",), 150, 1300, 0),
        (("window",), 150, 1300, 0),
        (("causal_top",), 150, 700, 3),
        (("window",), 1, 900, 2),
        (("all_masked",), 3, 300, 0),
        (("causal_late",), 130, 140, 0),
    ],
)
def test_keys_that_no_query_reaches_are_left_out(
    arrangement: str, steps: tuple[str, ...], queries: int, keys: int, splits: int
):
    case = AttentionCase(queries=queries, keys=keys, batch=(1,), steps=steps)
    check(case, passes=BOUNDS, arrangement=arrangement, splits=splits)


def test_bounds_halve_a_causal_prefill():
    text = AttentionCase(queries=1024, keys=1024, batch=(1,), kv_heads=1, group=1, steps=("causal",)).module_text()

    def cycles(passes: str) -> int:
        module = transform(text, f"{passes}convert-attention-to-nki{{arrangement=rows}}")
        (kernel,) = (op for op in module.ops if isinstance(op, nki.KernelOp))
        return account(kernel).engines["Tensor"].cycles

    assert cycles(f"{BOUNDS},") <= 0.8 * cycles("")


@pytest.mark.parametrize(("dtype", "target"), [("f8E4M3", "trn1"), ("f8E5M2", "trn2"), ("f8E4M3FN", "trn3")])
@pytest.mark.parametrize("arrangement", ["keys", "rows"])
def test_float8_caches(dtype: str, target: str, arrangement: str):
    numpy_type = {"f8E4M3": "float8_e4m3", "f8E5M2": "float8_e5m2", "f8E4M3FN": "float8_e4m3fn"}[dtype]
    rng = np.random.default_rng(0)
    q, k, v = (
        rng.standard_normal(shape).astype(getattr(ml_dtypes, numpy_type))
        for shape in ((2, 8, 1, 32), (2, 2, 300, 32), (2, 2, 300, 32))
    )
    text = f"""
func.func @main(%q: tensor<2x8x1x32x{dtype}>, %k: tensor<2x2x300x32x{dtype}>, %v: tensor<2x2x300x32x{dtype}>)
    -> tensor<2x8x1x32xf32> {{
  %0 = attention.sdpa
      q(%q[b, h * 4 + g, m, k] : tensor<2x8x1x32x{dtype}>)
      k(%k[b, h, n, k] : tensor<2x2x300x32x{dtype}>)
      v(%v[b, h, n, d] : tensor<2x2x300x32x{dtype}>)
      scale(0.2)
      -> out[b, h * 4 + g, m, d] : tensor<2x8x1x32xf32>
  func.return %0 : tensor<2x8x1x32xf32>
}}"""
    (got,) = run(text, [q, k, v], target=target, arrangement=arrangement)
    wide = [x.astype(np.float64) for x in (q, k, v)]
    want, _ = reference_attention(wide[0].reshape(2, 2, 4, 1, 32), wide[1], wide[2], scale=0.2, scores=[])
    assert relative_error(got, want.reshape(got.shape)) <= 5e-3


def test_a_partial_that_leaves_the_function_has_the_runs_of_its_definition():
    """Three splits of two tiles: the first is empty."""
    case = AttentionCase(keys=200, batch=(), kv_heads=1, group=2, lse=False)
    module = str(transform(case.module_text(), "schedule-attention{block-n=128},flash-decoding{splits=3}"))
    head, tail = module.split("= attention.combine")
    types = "tensor<1x2x3x1x16xf32>, tensor<1x2x3x1xf32>"
    head = head[: head.rindex("%")].replace("-> tensor<2x1x16xf32>", f"-> ({types})")
    assert "func.return" in tail
    got = run(f"{head} func.return %partial, %partial_lse : {types} }} }}", case.inputs())
    q, k, v = (x.astype(np.float64) for x in case.inputs())
    scores = np.einsum("hmk,xnk->hmn", q, k) * case.scale
    for split, keys in enumerate((slice(0, 0), slice(0, 128), slice(128, 200))):
        part = scores[..., keys]
        if part.shape[-1] == 0:
            assert not got[0][0, :, split].any()
            assert (got[1][0, :, split] == -np.inf).all()
            continue
        lse = np.log(np.exp(part).sum(-1))
        assert relative_error(got[1][0, :, split], lse) <= 1e-5
        out = np.einsum("hmn,xnd->hmd", np.exp(part - lse[..., None]), v[:, keys])
        assert relative_error(got[0][0, :, split], out) <= 1e-5


def test_gathers_need_a_later_core():
    case = AttentionCase(steps=("relative",))
    with pytest.raises(DiagnosticException, match="an access by rows needs NeuronCore-v3, trn1 has v2"):
        lowered(case.module_text(), "{target=trn1}")


def lowered(text: str, options: str = "") -> None:
    transform(text, f"convert-attention-to-nki{options}")


def simple(dtype: str = "f32", keys: str = "64") -> str:
    out = "f64" if dtype == "f64" else "f32"
    return f"""
func.func @main(%q: tensor<4x1x8x{dtype}>, %k: tensor<2x{keys}x8x{dtype}>, %v: tensor<2x{keys}x8x{dtype}>)
    -> tensor<4x1x8x{out}> {{
  %0 = attention.sdpa
      q(%q[h * 2 + g, m, k] : tensor<4x1x8x{dtype}>)
      k(%k[h, n, k] : tensor<2x{keys}x8x{dtype}>)
      v(%v[h, n, d] : tensor<2x{keys}x8x{dtype}>)
      scale(1.0)
      -> out[h * 2 + g, m, d] : tensor<4x1x8x{out}>
  func.return %0 : tensor<4x1x8x{out}>
}}"""


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (simple("f64"), "", "of which NKI has no numbers; convert it to f32"),
        (simple("f8E4M3FN"), "", "target: nc_matmul of f8E4M3FN needs NeuronCore-v4"),
        (simple(keys="?"), "", "NKI traces a kernel for one shape, give all sizes"),
        (simple(keys="0"), "", "which is empty: there is nothing for a kernel to do"),
        (simple(), "{target=gpu}", "unknown target 'gpu', expected trn1, inf2, trn2 or trn3"),
        (simple(), "{target=inf2 cores=2}", "cores is 2, expected 1, or 2 from trn2 on"),
        (simple(), "{arrangement=diagonal}", "arrangement is 'diagonal', expected one of auto, keys, rows"),
        (simple().replace("%0 = att", "%1 = arith.addf %q, %q : tensor<4x1x8xf32> %0 = att"), "", "run outline-attent"),
    ],
)
def test_what_cannot_be_lowered(text: str, options: str, message: str):
    with pytest.raises(DiagnosticException, match=message.replace("(", r"\(")):
        lowered(text, options)
