"""Locks in what NKI kernels compute: every feature of attention against a float64 reference, on all three targets.

The kernels run on the model in `tests/nki_model`, which is strict about the documented rules of the instructions, or on
Amazon's simulator where Neuron's package is installed.
"""

import dataclasses

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from attention_reference import reference_attention
from attention_steps import DTYPES
from nki_kernels import BOUNDS, TARGETS, TOLERANCE, check, kernels, relative_error, run
from nki_model import cross
from pipelines import transform
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import nki
from flashlower.dialects.attention import ScheduleAttr
from flashlower.lowering.nki.cost import account, launch_account

SMALL = [case for case in CASES if case.dtype != "f64"]


COVERING = list(cross.covering())
"""Each target with each number of keys, and with each feature."""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("number", range(len(SMALL)), ids=lambda number: str(SMALL[number]))
def test_every_feature(number: int, target: str):
    case = SMALL[number]
    if target == "trn1" and {"strided", "relative"} & {*case.steps}:
        with pytest.raises(DiagnosticException, match="an access by rows needs NeuronCore-v3, trn1 has v2"):
            lowered(case.module_text(), "{target=trn1}")
        return
    # Both arrangements and both numbers of cores come up on every target.
    turn = number + TARGETS.index(target)
    check(
        case, target=target, arrangement=("keys", "rows")[turn % 2], cores=1 if target == "trn1" else 1 + turn // 2 % 2
    )


@pytest.mark.parametrize("run", COVERING, ids=str)
def test_the_cross_of_features_targets_and_sizes(run: cross.Run):
    """A part of what `nki_model/cross.py` runs; a different one of its features on every target and size."""
    run.check()


@pytest.mark.parametrize(("dtype", "queries"), [("f32", 1), ("bf16", 130)])
def test_schedules_are_read(dtype: str, queries: int):
    """Keys of a step, rows of a tile, arrangement and cores."""
    case = AttentionCase(keys=600, queries=queries, batch=(1,), kv_heads=1, group=4, kv_lens=True, dtype=dtype)
    for arrangement, cores, block_m, block_n in (("keys", 2, 16, 256), ("rows", 1, 64, 128)):
        on_partitions = int(arrangement == "keys")
        options = f"block-m={block_m} block-n={block_n} cores={cores} keys-on-partitions={on_partitions}"
        schedule = f"schedule-attention{{{options}}}"
        (kernel,) = kernels(case.module_text(), "", f"{schedule},")
        expected = ScheduleAttr(block_m, block_n, 1, 1, cores=cores, keys_on_partitions=on_partitions)
        assert kernel.attributes["nki.schedule"] == expected
        assert kernel.cores.value.data == cores
        tiles = {op.result.name_hint: op.result.type for op in kernel.walk() if isinstance(op, nki.NdarrayOp)}
        assert tiles["q_rows"].partitions <= block_m
        if arrangement == "rows":
            assert tiles["products"].free_size == block_n
        check(case, passes=schedule, cores=cores)


def test_a_schedule_may_name_what_a_target_has_not():
    text = AttentionCase().module_text()
    with pytest.raises(DiagnosticException, match="cores is 2, expected 1, or 2 from trn2 on"):
        transform(text, "schedule-attention{cores=2},convert-attention-to-nki{target=trn1}")


@pytest.mark.parametrize(
    ("batch", "heads", "keys", "dtype", "target", "cores", "lengths"),
    [
        (1, 8, 1000, "bf16", "trn2", 1, False),
        (8, 1, 1, "bf16", "trn2", 1, True),
        (4, 2, 128, "f32", "trn3", 1, False),
        (37, 1, 512, "bf16", "trn2", 1, True),
        (2, 4, 4096, "f32", "trn2", 1, True),
        (8, 1, 1000, "f32", "trn1", 1, True),
        (16, 1, 16384, "f32", "trn1", 1, True),
        (8, 1, 1, "f32", "trn2", 2, False),
        (1, 8, 241, "f32", "trn3", 2, False),
        (9, 1, 100, "f32", "trn2", 2, True),
        (3, 3, 1, "bf16", "trn2", 2, True),
    ],
)
def test_the_vector_and_scalar_engines_have_a_quarter_of_the_work(
    batch: int, heads: int, keys: int, dtype: str, target: str, cores: int, lengths: bool
):
    """
    Of what they have with the query group on the partitions: a part of the table of benchmarks/nki_account.py.

    Of all cores together, and of the busiest.
    """
    for head_size in (64, 128):
        case = AttentionCase((batch,), heads, 4, 1, keys, head_size, head_size, dtype=dtype, kv_lens=lengths, lse=False)
        work: dict[str, list[int]] = {}
        for arrangement in ("keys", "rows"):
            (kernel,) = kernels(case.module_text(), f"{{arrangement={arrangement} target={target} cores={cores}}}")
            costs = [launch_account(kernel), account(kernel)]
            work[arrangement] = [cost.engines["Vector"].cycles + cost.engines["Scalar"].cycles for cost in costs]
            if arrangement == "keys":
                assert costs[0].engines["DMA"].bytes <= 1.1 * costs[0].least_bytes
        assert all(keys <= rows / 4 for keys, rows in zip(work["keys"], work["rows"], strict=True))


SEQUENCES = [
    AttentionCase((5,), 1, 4, keys=300, steps=("bias", "causal"), kv_lens=True, sinks=True, dtype="bf16"),
    # Four sequences fill the rows of a tile: these are three and two.
    AttentionCase((5,), 8, 4, keys=130, steps=("mask", "alibi"), kv_lens=True, layout="bshd"),
    AttentionCase((2, 3), 2, 2, queries=3, keys=1, kv_lens=True, head_size=256, value_size=256, dtype="bf16"),
    AttentionCase((3,), 1, 2, queries=2, keys=241, steps=("document",), kv_lens=True, layout="flat", value_size=20),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", SEQUENCES, ids=str)
def test_sequences_share_a_tile(case: AttentionCase, target: str):
    """With lengths, biases and sinks of their own; in splits, and on two cores that have as many each."""
    turn = SEQUENCES.index(case) + TARGETS.index(target)
    cores, splits = (1 if target == "trn1" else 1 + turn % 2), (2 if turn % 3 == 2 and case.keys > 1 else 0)
    check(case, target=target, cores=cores, splits=splits, arrangement="keys")


def test_tiles_of_all_rows_and_many_keys():
    """128 rows, 33 tiles of keys: the maximum, in PSUM, is read for every tile, which is more than PSUM holds."""
    check(AttentionCase((4,), 2, 16, keys=4224, head_size=8, value_size=8, kv_lens=True), arrangement="keys")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("keys", [1, 100, 241, 8192])
def test_large_logits(keys: int, target: str):
    """Up to 300 and -300, whose exponentials f32 does not have: the maximum is what is taken off."""
    case = AttentionCase((2,), 1, 2, keys=keys, kv_lens=True, sinks=True)
    q, k, *others = case.inputs()
    want, _ = reference_attention(
        100.0 * q.reshape(2, 1, 2, 1, 16),
        k,
        others[0],
        scale=case.scale,
        scores=[],
        kv_lens=others[1],
        sinks=others[2],
    )
    for arrangement in ("keys", "rows"):
        got, _ = run(case.module_text(), [100 * q, k, *others], target=target, arrangement=arrangement)
        assert relative_error(got, want.reshape(got.shape)) <= 1e-4


SHARES = [
    # Five and four sequences; two and one, in tiles of two; heads of all sequences, 2 and 2; of one sequence, 3 and 2.
    AttentionCase((9,), 1, 4, keys=241, steps=("bias",), kv_lens=True, sinks=True),
    AttentionCase((3,), 1, 64, keys=100, kv_lens=True, dtype="bf16"),
    AttentionCase((5,), 4, 2, keys=1, kv_lens=True, steps=("alibi",), layout="bshd", dtype="bf16"),
    AttentionCase((), 5, 2, keys=300, queries=2, kv_lens=False, steps=("causal", "mask"), layout="grouped"),
    # 33 and 32 sequences, of which a tile has 32.
    AttentionCase((65,), 1, 4, keys=20, kv_lens=True, head_size=8, value_size=8),
]


@pytest.mark.parametrize("target", ["trn2", "trn3"])
@pytest.mark.parametrize("case", SHARES, ids=str)
def test_two_cores_get_even_shares_of_sequences_or_heads(case: AttentionCase, target: str):
    """Each in tiles of its own, and none has more than one pair more than the other."""
    check(case, target=target, cores=2, arrangement="keys")
    (kernel,) = kernels(case.module_text(), f"{{target={target} cores=2 arrangement=keys}}")
    one, both = account(kernel).engines["Tensor"], launch_account(kernel).engines["Tensor"]
    pairs = case.sequences * case.kv_heads
    assert one.cycles / both.cycles <= 1.05 * (pairs - pairs // 2) / pairs


def test_lengths_of_heads_of_sequences_that_share_a_tile():
    """Lengths by sequence and head, a NaN behind each; bf16 of an odd size, which has no words of 32 bits to clear."""
    rng = np.random.default_rng(6)
    lens = np.array([[0, 70], [33, 96], [100, 1]], np.int64)
    for dtype, size in (("f32", 16), ("bf16", 15)):
        numpy_type = np.float32 if dtype == "f32" else DTYPES["bf16"]
        q, k, v = (
            rng.standard_normal(shape).astype(numpy_type)
            for shape in ((3, 4, 1, size), (3, 2, 100, size), (3, 2, 100, size))
        )
        wide = [x.astype(np.float64) for x in (q.reshape(3, 2, 2, 1, size), k, v)]
        for b, h in np.ndindex(3, 2):
            k[b, h, lens[b, h] :] = v[b, h, lens[b, h] :] = np.nan
        text = f"""
func.func @main(%q: tensor<3x4x1x{size}x{dtype}>, %k: tensor<3x2x100x{size}x{dtype}>,
                %v: tensor<3x2x100x{size}x{dtype}>, %lens: tensor<3x2xi64>) -> tensor<3x4x1x{size}xf32> {{
  %0 = attention.sdpa
      q(%q[b, h * 2 + g, m, k] : tensor<3x4x1x{size}x{dtype}>)
      k(%k[b, h, n, k] : tensor<3x2x100x{size}x{dtype}>)
      v(%v[b, h, n, d] : tensor<3x2x100x{size}x{dtype}>)
      kv_lens(%lens[b, h] : tensor<3x2xi64>)
      scale(0.3)
      -> out[b, h * 2 + g, m, d] : tensor<3x4x1x{size}xf32>
  func.return %0 : tensor<3x4x1x{size}xf32>
}}"""
        scores = [lambda s, b, hq, m, n: np.where(n < lens[b[0], hq // 2], s, -np.inf)]
        want, _ = reference_attention(*wide, scale=0.3, scores=scores)
        for target in TARGETS:
            (got,) = run(text, [q, k, v, lens], target=target, arrangement="keys")
            assert relative_error(got, want.reshape(got.shape)) <= TOLERANCE[dtype]


def test_the_account_chooses_how_many_sequences_share_a_tile():
    """As many as fit; of nine, two cores have five and four."""
    case = AttentionCase((9,), 1, 4, keys=1000, head_size=64, value_size=64, dtype="bf16", lse=False)
    text = case.module_text()
    for cores, sequences in ((1, 9), (2, 5)):
        (kernel,) = kernels(text, f"{{cores={cores}}}")
        expected = ScheduleAttr(128, 512, 1, 1, cores=cores, keys_on_partitions=1, sequences=sequences)
        assert kernel.attributes["nki.schedule"] == expected
        alone = "schedule-attention{block-m=128 block-n=512 keys-on-partitions=1 sequences=1},"
        (other,) = kernels(text, f"{{cores={cores}}}", alone)
        assert account(kernel).order < account(other).order


@pytest.mark.parametrize("seed", range(10))
def test_random_mixtures(seed: int):
    rng = np.random.default_rng(100 + seed)
    case = random_case(rng)
    if case.dtype == "f64":
        case = dataclasses.replace(case, dtype="f32")
    cores = int(rng.integers(1, 3))
    check(case, splits=int(rng.choice([0, 0, 2, 7])), target="trn2", cores=cores)


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


def test_two_cores_have_a_split_each():
    """Also where the second is shorter; and barriers, which no engine runs, cost nothing."""
    for keys in (1000, 1024):
        case = AttentionCase((2,), 2, 4, keys=keys, lse=False, dtype="bf16")
        (kernel,) = kernels(case.module_text(), "{cores=2 arrangement=keys}", "flash-decoding{splits=2},")
        one, both = account(kernel), launch_account(kernel)
        assert one.engines["DMA"].cycles <= 0.55 * both.engines["DMA"].cycles
        for op in [op for op in kernel.walk() if isinstance(op, nki.CoreBarrierOp)]:
            op.detach()
        assert account(kernel) == one


@pytest.mark.parametrize("arrangement", ["keys", "rows"])
def test_two_cores_share_heads_or_queries(arrangement: str):
    check(AttentionCase(batch=(3,), kv_heads=2, group=4, keys=200), cores=2, arrangement=arrangement)
    for queries in (131, 140, 257, 300, 391):
        # The last block of queries may overlap the one before: one core has both.
        case = AttentionCase(batch=(1,), kv_heads=1, group=1, queries=queries, keys=140)
        check(case, cores=2, arrangement=arrangement)


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
        (kernel,) = kernels(text, "{arrangement=rows}", passes)
        return account(kernel).engines["Tensor"].cycles

    assert cycles(f"{BOUNDS},") <= 0.8 * cycles("")


@pytest.mark.parametrize("arrangement", ["keys", "rows"])
def test_numbers_and_nan_in_score_regions(arrangement: str):
    """JAX's `take` gives NaN where an index is none of the table; constants fold, also where an engine would not."""
    rng = np.random.default_rng(9)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3, 8), (2, 150, 8), (2, 150, 8)))
    bias = rng.standard_normal((3, 150)).astype(np.float32)
    inside = np.ones((3, 150), bool)
    inside[1, 70] = False
    types = "tensor<4x3x8xf32>", "tensor<2x150x8xf32>", "tensor<3x150xf32>", "tensor<3x150xi1>"
    text = f"""
func.func @main(%q: {types[0]}, %k: {types[1]}, %v: {types[1]}, %bias: {types[2]}, %inside: {types[3]}) -> {types[0]} {{
  %0 = attention.sdpa
      q(%q[h * 2 + g, m, k] : {types[0]}) k(%k[h, n, k] : {types[1]}) v(%v[h, n, d] : {types[1]}) scale(0.5)
      score {{
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %nan = arith.constant 0x7FC00000 : f32
        %four = arith.constant 4.0 : f32
        %low = arith.truncf %four : f32 to bf16
        %wide = arith.extf %low : bf16 to f32
        %two = math.sqrt %wide : f32
        %half = arith.divf %two, %wide : f32
        %a = tensor.extract %bias[%m, %n] : {types[2]}
        %b = tensor.extract %inside[%m, %n] : {types[3]}
        %c = arith.select %b, %a, %nan : f32
        %d = arith.mulf %c, %half : f32
        %r = arith.addf %s, %d : f32
        attention.yield %r : f32
      }}
      -> out[h * 2 + g, m, d] : {types[0]}
  func.return %0 : {types[0]}
}}"""
    added = np.where(inside, bias, np.nan) / 2
    want, _ = reference_attention(
        q.reshape(2, 2, 3, 8), k, v, scale=0.5, scores=[lambda s, b, hq, m, n: s + added[m, n]]
    )
    (got,) = run(text, [q, k, v, bias, inside], arrangement=arrangement)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want.reshape(got.shape)))
    assert np.isnan(got[:, 1]).all() and not np.isnan(got[:, [0, 2]]).any()
    assert relative_error(got[:, [0, 2]], want.reshape(got.shape)[:, [0, 2]]) <= 1e-5


@pytest.mark.parametrize(("queries", "group", "keys"), [(1, 4, 1), (40, 1, 5)])
def test_more_rows_than_keys(queries: int, group: int, keys: int):
    """With rows on the partitions, the length is read on those of rows that no key has."""
    case = AttentionCase(queries=queries, group=group, keys=keys, kv_lens=True)
    check(case, arrangement="rows", target="trn1")


def test_one_arrangement_may_be_too_large():
    """A head size of V of 1024: O^T takes all banks of PSUM where keys are on the partitions."""
    text = AttentionCase(batch=(1,), kv_heads=1, keys=64, head_size=8, value_size=1024).module_text()
    (kernel,) = kernels(text)
    assert kernel.attributes["nki.schedule"].option("keys_on_partitions") == 0
    with pytest.raises(DiagnosticException, match="cut V along its head size"):
        lowered(text, "{arrangement=keys}")


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
        (simple("f8E4M3FN"), "", "but trn2 has no f8E4M3FN: store f8E4M3 or f8E5M2, or take target=trn3"),
        (simple(keys="?"), "", "one shape; give all sizes and convert once for each shape, or give the longest"),
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
