"""The NKI model's instructions compute what the documentation says: each against a formulation of its own in NumPy.

Odd sizes, every dtype that instructions convert, strided and broadcast views, gather and scatter. The kernels run on
Amazon's nki.simulate where Neuron's package is installed: then they test what the model
reads out of the documents.
"""

import ml_dtypes
import nki_model
import numpy as np
import pytest

HEADER = """
import nki
import nki.isa as nisa
import nki.language as nl

def load(x, dtype=None):
    result = nl.ndarray(x.shape, dtype or x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(result, x)
    return result

def store(t):
    result = nl.ndarray(t.shape, t.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(result, t)
    return result

def sbuf(shape, dtype=nl.float32):
    return nl.ndarray(shape, dtype, buffer=nl.sbuf)

def psum(shape, dtype=nl.float32):
    return nl.ndarray(shape, dtype, buffer=nl.psum)

@nki.jit
def kernel(*ARGUMENTS*):
"""
BF16 = np.dtype(ml_dtypes.bfloat16)
rng = np.random.default_rng(11)


def run(body: str, *arrays: np.ndarray, target: str = "trn2", cores: int | None = None):
    """The kernel whose parameters are x0, x1, ... and whose last line returns."""
    source = HEADER.replace("*ARGUMENTS*", ", ".join(f"x{i}" for i in range(len(arrays))))
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    with nki_model.on_target(target):
        return nki_model.run(source + lines + "\n", "kernel", *arrays, cores=cores)


def draw(*shape: int, dtype=np.float32) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BF16, np.dtype(ml_dtypes.float8_e4m3)])
@pytest.mark.parametrize("target", nki_model.TARGETS)
def test_matmul_accumulates_in_float32(dtype: np.dtype, target: str) -> None:
    a, b = draw(200, 37).astype(dtype), draw(200, 101).astype(dtype)
    got = run(
        """
p = psum((37, 101))
for i in range(2):
    s = load(x0[i * 100:i * 100 + 100, :])
    m = load(x1[i * 100:i * 100 + 100, :])
    nisa.nc_matmul(p, s, m, accumulate=(i > 0))
t = sbuf((37, 101))
nisa.tensor_copy(t, p)
return store(t)
""",
        a,
        b,
        target=target,
    )
    np.testing.assert_allclose(got, a.astype(np.float64).T @ b.astype(np.float64), rtol=1e-4, atol=1e-4)


def test_matmul_overwrites_without_accumulate() -> None:
    a, b = draw(5, 3), draw(5, 4)
    body = """
p = psum((3, 4))
s = load(x0)
m = load(x1)
nisa.nc_matmul(p, s, m, accumulate=False)
nisa.nc_matmul(p, s, m, accumulate=False)
t = sbuf((3, 4))
nisa.tensor_copy(t, p)
return store(t)
"""
    np.testing.assert_allclose(run(body, a, b), a.T @ b, rtol=1e-5)


@pytest.mark.parametrize(("rows", "columns", "memory"), [(128, 77, "psum"), (32, 19, "sbuf"), (1, 128, "psum")])
def test_transpose(rows: int, columns: int, memory: str) -> None:
    x = draw(rows, columns, dtype=BF16)
    body = f"""
p = {memory}(({columns}, {rows}), x0.dtype)
nisa.nc_transpose(p, load(x0))
t = sbuf(({columns}, {rows}), x0.dtype)
nisa.tensor_copy(t, p)
return store(t)
"""
    np.testing.assert_array_equal(run(body, x), x.T)


def test_online_softmax_in_one_activation() -> None:
    x = draw(33, 65)
    body = """
t = load(x0)
m = sbuf((33, 1))
nisa.tensor_reduce(m, nl.maximum, t, axis=(1,), negate=True)
e = sbuf((33, 65))
l = sbuf((33, 1))
nisa.activation(e, nl.exp, t, bias=m, reduce_op=nl.add, reduce_res=l, reduce_cmd=nisa.reduce_cmd.reset_reduce)
nisa.reciprocal(l, l)
nisa.tensor_scalar(e, e, nl.multiply, l)
return store(e)
"""
    want = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(run(body, x), want / want.sum(axis=1, keepdims=True), rtol=1e-5)


def test_activation_registers_persist() -> None:
    x = draw(16, 8)
    body = """
t = load(x0)
e = sbuf((16, 4))
s = sbuf((16, 1))
nisa.activation(e, nl.square, t[:, 0:4], reduce_op=nl.add, reduce_cmd=nisa.reduce_cmd.reset_reduce)
nisa.activation(e, nl.square, t[:, 4:8], reduce_op=nl.add, reduce_res=s, reduce_cmd=nisa.reduce_cmd.reduce)
return store(s)
"""
    np.testing.assert_allclose(run(body, x), (x * x).sum(axis=1, keepdims=True), rtol=1e-5)


def test_activation_scales_by_a_column_then_adds_the_bias() -> None:
    x, scale, bias = draw(16, 8), draw(16, 1), draw(16, 1)
    body = """
t = load(x0)
nisa.activation(t, nl.tanh, t, bias=load(x2), scale=load(x1))
return store(t)
"""
    np.testing.assert_allclose(run(body, x, scale, bias), np.tanh(x * scale + bias), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ("nl.subtract, 2.0", lambda x, c: x - 2),
        ("nl.subtract, 2.0, reverse0=True", lambda x, c: 2 - x),
        ("nl.multiply, c, op1=nl.add, operand1=1.0", lambda x, c: x * c + 1),
        ("nl.maximum, c, op1=nl.subtract, operand1=c, reverse1=True", lambda x, c: c - np.maximum(x, c)),
        ("nl.greater_equal, c", lambda x, c: (x >= c).astype(np.float32)),
    ],
)
def test_tensor_scalar(arguments: str, want) -> None:
    x, c = draw(50, 9), draw(50, 1)
    body = f"t = load(x0)\nc = load(x1)\nnisa.tensor_scalar(t, t, {arguments})\nreturn store(t)"
    np.testing.assert_allclose(run(body, x, c), want(x, c), rtol=1e-6)


def test_scalar_tensor_tensor() -> None:
    x, c, y = draw(50, 9), draw(50, 1), draw(50, 9)
    body = """
t = load(x0)
nisa.scalar_tensor_tensor(t, t, nl.multiply, load(x1), nl.subtract, load(x2), reverse1=True)
return store(t)
"""
    np.testing.assert_allclose(run(body, x, c, y), y - x * c, rtol=1e-5, atol=1e-6)


def test_integers_are_exact_on_gpsimd_and_pass_float32_on_the_vector_engine() -> None:
    x = np.array([[2**24 + 1, 7]], np.int32)
    body = """
t = load(x0)
exact = sbuf((1, 2), nl.int32)
nisa.tensor_tensor(exact, t, t, nl.add)
rounded = sbuf((1, 2), nl.int32)
nisa.tensor_tensor(rounded, t, t, nl.add, engine=nisa.engine.vector)
return store(exact), store(rounded)
"""
    exact, rounded = run(body, x)
    np.testing.assert_array_equal(exact, 2 * x)
    np.testing.assert_array_equal(rounded, [[2**25, 14]])


def test_bitvec_operators() -> None:
    x = rng.integers(0, 1000, (4, 6)).astype(np.int32)
    body = """
t = load(x0)
nisa.tensor_scalar(t, t, nl.right_shift, 3, op1=nl.bitwise_and, operand1=15)
return store(t)
"""
    np.testing.assert_array_equal(run(body, x), (x >> 3) & 15)


def test_stores_round_to_even_and_saturate_integers() -> None:
    x = np.array([[0.5, 1.5, -0.5, 300.0, -300.0, 1.00390625]], np.float32)
    body = """
t = load(x0)
whole = sbuf((1, 6), nl.int8)
nisa.tensor_copy(whole, t)
half = sbuf((1, 6), nl.bfloat16)
nisa.tensor_copy(half, t)
return store(whole), store(half)
"""
    whole, half = run(body, x)
    np.testing.assert_array_equal(whole, [[0, 2, 0, 127, -128, 1]])
    np.testing.assert_array_equal(half, x.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(("axis", "op", "want"), [("2", "add", np.sum), ("(1, 2)", "maximum", np.max)])
def test_tensor_reduce(axis: str, op: str, want) -> None:
    x = draw(40, 3, 5)
    axes = (2,) if axis == "2" else (1, 2)
    shape = (40, 3) if axis == "2" else (40, 1)
    body = f"t = load(x0)\nr = sbuf({shape})\nnisa.tensor_reduce(r, nl.{op}, t, axis={axis})\nreturn store(r)"
    np.testing.assert_allclose(run(body, x), want(x, axis=axes).reshape(shape), rtol=1e-5, atol=1e-6)


def test_tensor_scalar_reduce_continues() -> None:
    x = draw(20, 10)
    body = """
t = load(x0)
d = sbuf((20, 5))
r = sbuf((20, 1))
nisa.tensor_scalar_reduce(d, t[:, 0:5], nl.add, 1.0, nl.maximum)
nisa.tensor_scalar_reduce(d, t[:, 5:10], nl.add, 1.0, nl.maximum, r, reduce_cmd=nisa.reduce_cmd.reduce)
return store(r)
"""
    np.testing.assert_allclose(run(body, x), x.max(axis=1, keepdims=True) + 1, rtol=1e-6)


def test_tensor_tensor_scan() -> None:
    x, y = draw(6, 7), draw(6, 7)
    body = """
r = sbuf((6, 7))
nisa.tensor_tensor_scan(r, load(x0), load(x1), 2.0, nl.multiply, nl.add)
return store(r)
"""
    want, state = np.empty_like(x), np.full(6, 2, np.float32)
    for i in range(7):
        state = x[:, i] * state + y[:, i]
        want[:, i] = state
    np.testing.assert_allclose(run(body, x, y), want, rtol=1e-5, atol=1e-6)


def test_iota_and_affine_select() -> None:
    x = draw(13, 21)
    body = """
i = sbuf((13, 3, 7), nl.int32)
nisa.iota(i, [[100, 3], [2, 7]], offset=5, channel_multiplier=-1)
t = sbuf((13, 21))
nisa.affine_select(t, [[-1, 21]], 1, load(x0), -1e30, nl.greater_equal, offset=3)
return store(i), store(t)
"""
    i, t = run(body, x)
    p = np.arange(13)
    np.testing.assert_array_equal(
        i, 5 - p[:, None, None] + np.arange(3)[:, None] * 100 + np.arange(7)[None, None, :] * 2
    )
    keep = 3 + p[:, None] - np.arange(21) >= 0
    np.testing.assert_array_equal(t, np.where(keep, x, np.float32(-1e30)))


def test_range_select_with_its_maximum() -> None:
    x, low, high = draw(30, 12), rng.integers(0, 8, (30, 1)), rng.integers(5, 20, (30, 1))
    low, high = low.astype(np.float32), high.astype(np.float32)
    body = """
t = sbuf((30, 12))
m = sbuf((30, 1))
nisa.range_select(t, load(x0), nl.greater_equal, nl.less, load(x1), load(x2), reduce_res=m, range_start=2)
return store(t), store(m)
"""
    t, m = run(body, x, low, high)
    at = np.arange(2, 14, dtype=np.float32)
    want = np.where((at >= low) & (at < high), x, np.finfo(np.float32).min)
    np.testing.assert_array_equal(t, want)
    np.testing.assert_array_equal(m, want.max(axis=1, keepdims=True))


def test_selects_by_predicate() -> None:
    x, y, p = draw(10, 6), draw(10, 6), rng.integers(0, 2, (10, 6)).astype(np.uint8)
    body = """
p = load(x2)
a = load(x0)
nisa.tensor_copy_predicated(a, load(x1), p)
b = sbuf((10, 6))
nisa.select_reduce(b, p, load(x0), -5.0, reverse_pred=True)
return store(a), store(b)
"""
    a, b = run(body, x, y, p)
    np.testing.assert_array_equal(a, np.where(p != 0, y, x))
    np.testing.assert_array_equal(b, np.where(p != 0, np.float32(-5), x))


def test_gather_within_partitions_and_shuffle_between() -> None:
    x, i = draw(32, 9), rng.integers(0, 9, (32, 4)).astype(np.uint32)
    mask = [int(m) for m in rng.permutation(32)]
    body = f"""
g = sbuf((32, 4))
nisa.nc_n_gather(g, load(x0), load(x1))
s = sbuf((32, 9))
nisa.nc_stream_shuffle(s, load(x0), {mask})
return store(g), store(s)
"""
    g, s = run(body, x, i)
    np.testing.assert_array_equal(g, np.take_along_axis(x, i.astype(np.int64), axis=1))
    np.testing.assert_array_equal(s, x[mask])


@pytest.mark.parametrize("absent", [False, True])
def test_paged_gather(absent: bool) -> None:
    """nki.md's pattern: a row of heads by page index, one head of it by offset; absent pages are skipped."""
    cache = draw(20, 3 * 8)
    index = rng.permutation(20)[:16].reshape(16, 1).astype(np.int32)
    if absent:
        index[[2, 5]] = -1
    body = f"""
i = load(x1)
t = sbuf((16, 8))
nisa.memset(t, 0.0)
src = x0.ap([[24, 16], [1, 8]], offset=2 * 8, vector_offset=i, indirect_dim=0)
nisa.dma_copy(t, src, oob_mode=nisa.oob_mode.{"skip" if absent else "error"})
return store(t)
"""
    want = np.where(index >= 0, cache.reshape(20, 3, 8)[index[:, 0], 2], 0)
    np.testing.assert_array_equal(run(body, cache, index), want)


def test_scatter_and_scalar_offset() -> None:
    x, index = draw(4, 8), np.array([[3], [0], [2], [1]], np.int32)
    body = """
i = load(x1)
out = nl.ndarray((4, 8), nl.float32, buffer=nl.shared_hbm)
nisa.dma_copy(out.ap([[8, 4], [1, 8]], vector_offset=i), load(x0))
row = sbuf((1, 8))
nisa.dma_copy(row, x0.ap([[8, 1], [1, 8]], scalar_offset=i[0:1, :], indirect_dim=0))
return out, store(row)
"""
    out, row = run(body, x, index)
    np.testing.assert_array_equal(out[index[:, 0]], x)
    np.testing.assert_array_equal(row, x[3:4])


def test_dma_converts_through_float32_and_transposes() -> None:
    x = draw(64, 48)
    body = """
t = load(x0, nl.bfloat16)
r = sbuf((48, 64), nl.bfloat16)
nisa.dma_transpose(r, t)
return store(r)
"""
    np.testing.assert_array_equal(run(body, x), x.astype(BF16).T)


def test_gathering_transpose() -> None:
    x, index = draw(40, 64, dtype=BF16), rng.permutation(40)[:32].reshape(32, 1).astype(np.uint32)
    body = """
r = sbuf((64, 32), nl.bfloat16)
nisa.dma_transpose(r, x0.ap([[64, 32], [1, 64]], vector_offset=load(x1)))
return store(r)
"""
    np.testing.assert_array_equal(run(body, x, index), x[index[:, 0]].T)


VIEWS = [
    ("t.permute((0, 2, 1))", lambda x: x.transpose(0, 2, 1)),
    ("t.reshape((6, 2, 14))", lambda x: x.reshape(6, 2, 14)),
    ("t[:, 1:3, ::2]", lambda x: x[:, 1:3, ::2]),
    ("t[0:5, 3]", lambda x: x[0:5, 3]),
    ("t[0, 1]", lambda x: x[0:1, 1]),
    ("t[..., 2]", lambda x: x[..., 2]),
    ("t.slice(2, 1, 6, 3)", lambda x: x[:, :, 1:6:3]),
    ("t.select(1, 2)", lambda x: x[:, 2]),
    ("t.reshape_dim(1, (2, -1)).permute((0, 2, 1, 3))", lambda x: x.reshape(6, 2, 2, 7).transpose(0, 2, 1, 3)),
    ("t[:, 0:1, :].broadcast(1, 3)", lambda x: np.repeat(x[:, 0:1], 3, axis=1)),
    ("t.expand_dim(1).squeeze_dim(1)", lambda x: x),
    ("t.flatten_dims(1, 2)", lambda x: x.reshape(6, 28)),
    ("t.rearrange(('p', ('a', 'b'), 'c'), ('p', 'b', 'a', 'c'), {'a': 2})",
     lambda x: x.reshape(6, 2, 2, 7).transpose(0, 2, 1, 3)),
    ("t.ap([[28, 6], [1, 7], [7, 4]])", lambda x: x.transpose(0, 2, 1)),
    ("t.ap([[28, 6], [0, 3], [2, 14]], offset=1)", lambda x: np.repeat(x.reshape(6, 1, 28)[:, :, 1::2], 3, axis=1)),
    ("t[:, nl.ds(1, 2), :]", lambda x: x[:, 1:3]),
    ("t.view(nl.int32)", lambda x: x.view(np.int32)),
    ("t.view(nl.bfloat16)", lambda x: x.view(BF16)),
]  # fmt: skip


@pytest.mark.parametrize(("view", "want"), VIEWS, ids=[view for view, _ in VIEWS])
def test_views(view: str, want) -> None:
    x = draw(6, 4, 7)
    got = run(f"t = load(x0)\nv = {view}\nr = sbuf(v.shape, v.dtype)\nnisa.tensor_copy(r, v)\nreturn store(r)", x)
    np.testing.assert_array_equal(got.view(np.uint8), np.ascontiguousarray(want(x)).view(np.uint8))


def test_run_time_loops() -> None:
    x = draw(5, 3)
    body = """
count = nisa.register_alloc()
nisa.register_load(count, load(x1))
out = nl.ndarray((5, 3), nl.float32, buffer=nl.shared_hbm)
nisa.dma_copy(out, x0)
t = sbuf((1, 3))
def step(i):
    nisa.dma_copy(t, x0.ap([[3, 1], [1, 3]], scalar_offset=i))
    nisa.tensor_scalar(t, t, nl.multiply, 2.0)
    nisa.dma_copy(out.ap([[3, 1], [1, 3]], scalar_offset=i), t)
nl.fori_loop(1, count, step)
return out
"""
    got = run(body, x, np.array([[4]], np.int32))
    np.testing.assert_array_equal(got, np.concatenate([x[:1], 2 * x[1:4], x[4:]]))


def test_two_cores_exchange_and_share() -> None:
    x = draw(2, 4, 6)
    body = """
core = nl.program_id(0)
assert nl.num_programs() == 2
mine = load(x0[core])
other = sbuf((4, 6))
nisa.sendrecv(mine, other, 1 - core, 1 - core, 0)
nisa.tensor_tensor(mine, mine, other, nl.subtract)
shared = nl.ndarray((2, 4, 6), nl.float32, buffer=nl.shared_hbm)
nisa.dma_copy(shared[core], mine)
nisa.core_barrier(shared, (0, 1))
out = nl.ndarray((2, 4, 6), nl.float32, buffer=nl.shared_hbm)
nisa.dma_copy(mine, shared[1 - core])
nisa.dma_copy(out[core], mine)
return out
"""
    np.testing.assert_array_equal(run(body, x, cores=2), np.stack([x[1] - x[0], x[0] - x[1]]))
