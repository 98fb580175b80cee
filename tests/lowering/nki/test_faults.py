"""The model rejects what the machine would: for every rule a kernel that breaks it, and is rejected by that rule.

A model that accepts a wrong kernel makes every test that runs on it worthless, so each rule has its fault here.
"""

import re
import textwrap

import nki_model
import numpy as np
import pytest

nki = nki_model.nki()
pytestmark = pytest.mark.skipif(not nki_model.is_model(), reason="the rules' names are the model's")

PREAMBLE = """
import nki
import nki.isa as nisa
import nki.language as nl

def tile(shape, dtype=nl.float32, buffer=nl.sbuf, value=0, address=None):
    result = nl.ndarray(shape, dtype, buffer=buffer, address=address)
    nisa.memset(result, value)
    return result

def bank(shape, dtype=nl.float32):
    return tile(shape, dtype, nl.psum)

@nki.jit
def inner(x):
    return x

@nki.jit
def kernel(x):
    out = nl.ndarray((1, 1), nl.float32, buffer=nl.shared_hbm)
    core = nl.program_id(0)
    if core == 0:
        nisa.dma_copy(out, tile((1, 1)))
"""
MATMUL = "nisa.nc_matmul({}, {}, {}, accumulate=False)"
# The rule, the body (x is float32 [128, 512] in HBM), and where it runs.
FAULTS: list[tuple[str, str, str, int | None]] = [
    (rule, body, *(place or ("trn2", None)))
    for rule, body, place in [
        ("shape", "nl.ndarray((128,), nl.float32)", None),
        ("shape", "nl.ndarray((128, 0), nl.float32)", None),
        ("dtype", "nl.ndarray((128, 4), 'float64')", None),
        ("partition-size", "nl.ndarray((129, 4), nl.float32)", None),
        ("start-partition", "nisa.tensor_copy(tile((32, 4)), tile((128, 4))[16:48, :])", None),
        ("start-partition", "nisa.memset(tile((128, 4))[32:96, :], 0.0)", None),
        ("start-partition", "nisa.memset(tile((128, 4))[64:128, :][32:64, :][1:2, :], 0.0)", None),
        ("partition-stride", "tile((128, 4))[0:64:2, :]", None),
        ("partition-stride", "tile((128, 4)).ap([[8, 64], [1, 4]])", None),
        ("access-pattern", "nisa.memset(nl.ndarray((8, 2, 40000), nl.bfloat16)[:, :, 0:8], 0.0)", None),
        ("access-pattern", "nisa.iota(nl.ndarray((1, 66000), nl.uint8), [[0, 66000]])", None),
        ("shape", "tile((8, 2, 4, 4, 4)).expand_dim(1)", None),
        ("dma-transpose", "nisa.dma_transpose(tile((128, 64)), x[0:64, 0:128], dge_mode=nisa.dge_mode.swdge)", None),
        ("indirect", "x.ap([[512, 64], [1, 512]], vector_offset=tile((64, 1), nl.int8))", None),
        ("out-of-range", "tile((128, 4))[:, 0:5]", None),
        ("out-of-range", "tile((128, 4)).ap([[4, 128], [1, 5]])", None),
        ("out-of-range", "x.ap([[512, 128], [1, 512]], offset=1)", None),
        ("view", "tile((128, 4)).reshape((64, 8))", None),
        ("view", "tile((128, 4, 2)).permute((1, 0, 2))", None),
        ("view", "nisa.memset(tile((128, 1)).broadcast(1, 4), 0.0)", None),
        ("ap-base", "tile((128, 8))[:, 4:8].ap([[8, 128], [1, 2]], offset=1)", None),
        ("indirect", "x.ap([[512, 64], [1, 512]], vector_offset=tile((64, 1)))", None),
        (
            "indirect",
            "nisa.dma_copy(tile((64, 4)), x.ap([[512, 64], [1, 4]], vector_offset=tile((32, 1), nl.int32)))",
            None,
        ),
        ("buffer", "nisa.tensor_copy(tile((128, 512)), x)", None),
        ("buffer", "nl.ndarray((128, 4), nl.float32, buffer='sbuf')", None),
        ("sbuf-capacity", "a = tile((128, 30000)); b = tile((128, 30000)); nisa.tensor_tensor(a, a, b, nl.add)", None),
        (
            "psum-capacity",
            "t = [bank((128, 512)) for _ in range(9)]\nfor p in t: nisa.tensor_copy(tile((128, 512)), p)",
            None,
        ),
        ("address", "tile((128, 4), buffer=nl.psum, address=(0, 100))", None),
        ("address", "tile((128, 4), address=(0, 224 * 1024))", None),
        ("uninitialised", "nisa.tensor_copy(tile((128, 4)), nl.ndarray((128, 4), nl.float32))", None),
        (
            "uninitialised",
            "t = nl.ndarray((128, 4), nl.float32)\nnisa.memset(t[:, 0:3], 0.0)\nnisa.reciprocal(t, t)",
            None,
        ),
        (
            "clobbered",
            "a = tile((128, 4), address=(0, 0)); tile((128, 4), address=(0, 8)); nisa.tensor_copy(tile((128, 4)), a)",
            None,
        ),
        (
            "gpsimd-psum",
            "nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), bank((4, 4)), nl.add, nisa.engine.gpsimd)",
            None,
        ),
        ("engine", "nisa.memset(tile((1, 1)), 0.0, engine=nisa.engine.scalar)", None),
        ("engine", "nisa.tensor_copy(tile((4, 4)), tile((4, 4)), engine=nisa.engine.scalar)", ("trn1", None)),
        ("enum", "nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile((4, 4)), 'add')", None),
        ("enum", "nisa.dma_copy(tile((128, 512)), x, dge_mode=2)", None),
        (
            "target",
            "b = tile((4, 1)); nisa.range_select(tile((4, 4)), tile((4, 4)), nl.less, nl.less, b, b)",
            ("trn1", None),
        ),
        ("target", "nisa.activation(tile((4, 4)), nl.exp, tile((4, 4)), bias=1.0)", ("trn1", None)),
        ("operand-shape", "nisa.tensor_copy(tile((128, 4)), tile((128, 5)))", None),
        ("operand-shape", "nisa.tensor_tensor(tile((8, 4)), tile((8, 4)), tile((8, 1)), nl.add)", None),
        ("overlap", "t = tile((128, 8)); nisa.tensor_copy(t[:, 0:4], t[:, 1:5])", None),
        ("not-modelled", "nisa.nc_matmul(bank((4, 4)), tile((4, 4)), tile((4, 4)), is_transpose=True)", None),
        ("matmul-memory", MATMUL.format("tile((4, 4))", "tile((4, 4))", "tile((4, 4))"), None),
        ("matmul-memory", MATMUL.format("bank((4, 4))", "bank((4, 4))", "tile((4, 4))"), None),
        ("matmul-contraction", MATMUL.format("bank((4, 4))", "tile((8, 4))", "tile((4, 4))"), None),
        ("matmul-stationary-size", MATMUL.format("bank((128, 4))", "tile((8, 129))", "tile((8, 4))"), None),
        ("matmul-moving-size", MATMUL.format("bank((4, 513))", "tile((8, 4))", "tile((8, 513))"), None),
        ("matmul-moving-size", MATMUL.format("bank((4, 4097))", "tile((8, 4))", "tile((8, 4097))"), ("trn3", None)),
        ("matmul-dst-shape", MATMUL.format("bank((4, 8))", "tile((8, 8))", "tile((8, 4))"), None),
        ("matmul-dst-bank", MATMUL.format("bank((4, 768))[:, 256:768]", "tile((8, 4))", "tile((8, 512))"), None),
        ("matmul-dst-dtype", MATMUL.format("bank((4, 4), nl.bfloat16)", "tile((8, 4))", "tile((8, 4))"), None),
        ("matmul-dtype", MATMUL.format("bank((4, 4))", "tile((8, 4), nl.int32)", "tile((8, 4), nl.int32)"), None),
        (
            "matmul-dtype",
            MATMUL.format("bank((4, 4))", "tile((8, 4), nl.float8_e4m3fn)", "tile((8, 4), nl.float8_e4m3fn)"),
            None,
        ),
        ("matmul-mixed-fp32", MATMUL.format("bank((4, 4))", "tile((8, 4), nl.bfloat16)", "tile((8, 4))"), None),
        (
            "matmul-mixed-fp8",
            MATMUL.format("bank((4, 4))", "tile((8, 4), nl.float8_e4m3fn)", "tile((8, 4), nl.float8_e4m3)"),
            ("trn3", None),
        ),
        (
            "matmul-accumulate",
            "nisa.nc_matmul(bank((4, 4)), tile((8, 4)), tile((8, 4)), accumulate=True)",
            None,
        ),
        (
            "matmul-accumulate",
            "p = nl.ndarray((4, 4), nl.float32, buffer=nl.psum)\n"
            "nisa.nc_matmul(p, tile((8, 4)), tile((8, 4)), accumulate=True)",
            ("trn3", None),
        ),
        ("matmul-tile", "nisa.nc_matmul(bank((4, 4)), tile((8, 4)), tile((8, 4)), tile_position=(0, 0))", None),
        ("transpose-memory", "nisa.nc_transpose(tile((4, 8)), tile((8, 4)), engine=nisa.engine.tensor)", None),
        ("transpose-size", "nisa.nc_transpose(tile((64, 64)), tile((64, 64)), engine=nisa.engine.vector)", None),
        ("transpose-dtype", "nisa.nc_transpose(bank((4, 8)), tile((8, 4), nl.bfloat16))", None),
        ("transpose-finite", "nisa.nc_transpose(bank((4, 8)), tile((8, 4), value=float('inf')))", ("trn1", None)),
        ("activation-op", "nisa.activation(tile((8, 4)), nl.add, tile((8, 4)))", None),
        (
            "activation-scale",
            "nisa.activation(tile((8, 4)), nl.exp, tile((8, 4)), scale=tile((8, 1), nl.bfloat16))",
            None,
        ),
        ("activation-bias", "nisa.activation(tile((8, 4)), nl.exp, tile((8, 4)), bias=tile((4, 1)))", None),
        ("activation-range", "nisa.activation(tile((8, 4)), nl.log, tile((8, 4)))", None),
        ("activation-range", "nisa.activation(tile((8, 4)), nl.reciprocal, tile((8, 4), value=1e-20))", None),
        (
            "activation-reduce",
            "nisa.activation(tile((8, 4)), nl.exp, tile((8, 4)), reduce_op=nl.maximum, "
            "reduce_cmd=nisa.reduce_cmd.reset_reduce)",
            None,
        ),
        (
            "reduce-registers",
            "nisa.activation(tile((8, 4)), nl.exp, tile((8, 4)), reduce_op=nl.add, reduce_cmd=nisa.reduce_cmd.reduce)",
            None,
        ),
        ("reduce-registers", "nisa.activation(tile((8, 4)), nl.exp, tile((8, 4)), reduce_res=tile((8, 1)))", None),
        ("alu-op", "nisa.tensor_scalar(tile((8, 4)), tile((8, 4)), nl.bitwise_and, 1)", None),
        ("alu-op", "nisa.tensor_tensor(tile((8, 4)), tile((8, 4)), tile((8, 4)), nl.divide)", None),
        ("two-psum-inputs", "nisa.tensor_tensor(tile((8, 4)), bank((8, 4)), bank((8, 4)), nl.add)", None),
        ("scalar-operand", "nisa.tensor_scalar(tile((8, 4)), tile((8, 4)), nl.add, tile((8, 2)))", None),
        ("scalar-operand", "nisa.tensor_scalar(tile((8, 4)), tile((8, 4)), nl.add, tile((8, 1), nl.bfloat16))", None),
        (
            "scalar-engine-ops",
            "nisa.tensor_scalar(tile((8, 4)), tile((8, 4)), nl.maximum, 0.0, engine=nisa.engine.scalar)",
            None,
        ),
        ("reduce-axis", "nisa.tensor_reduce(tile((1, 4)), nl.add, tile((8, 4)), axis=0)", None),
        ("reduce-axis", "nisa.tensor_reduce(tile((8, 4)), nl.add, tile((8, 2, 4)), axis=1)", None),
        ("reduce-op", "nisa.tensor_reduce(tile((8, 1)), nl.equal, tile((8, 4)), axis=1)", None),
        ("memset-value", "nisa.memset(tile((8, 4), nl.int32), 1.5)", None),
        ("select-memory", "nisa.affine_select(tile((8, 4)), [[1, 4]], 1, bank((8, 4)), 0.0, nl.less)", None),
        ("pattern", "nisa.iota(tile((8, 4), nl.int32), [[1, 3]])", None),
        ("pattern", "nisa.iota(tile((8, 4), nl.int32), [[1, 4]], offset=0.5)", None),
        ("select-value", "nisa.affine_select(tile((8, 4)), [[1, 4]], 1, tile((8, 4)), 0, nl.less)", None),
        ("predicate", "nisa.tensor_copy_predicated(tile((8, 4)), tile((8, 4)), tile((8, 4)))", None),
        ("range-select-value", "b = tile((8, 1)); RANGE, on_false_value=0.0)", None),
        ("range-select-value", "b = tile((8, 1)); RANGE, on_false_value=float('-inf'))", None),
        ("range-select-bound", "b = tile((8, 1), nl.bfloat16); RANGE)", None),
        (
            "range-select-op",
            "b = tile((8, 1)); nisa.range_select(tile((8, 4)), tile((8, 4)), nl.less, nl.not_equal, b, b)",
            None,
        ),
        ("range-select-index", "b = tile((8, 1)); RANGE, range_start=2**24)", None),
        ("same-dtype", "nisa.dma_transpose(tile((128, 128), nl.bfloat16), x[:, 0:128])", None),
        ("gather-index", "nisa.nc_n_gather(tile((8, 4)), tile((8, 4)), tile((8, 4), nl.int32))", None),
        ("gather-index", "nisa.nc_n_gather(tile((8, 4)), tile((8, 4)), tile((8, 4), nl.uint32, value=4))", None),
        ("shuffle", "nisa.nc_stream_shuffle(tile((32, 4)), tile((32, 4)), [0] * 31)", None),
        ("dma-psum", "nisa.dma_copy(out, bank((1, 1)))", None),
        ("dma-size", "nisa.dma_copy(tile((128, 511)), x)", None),
        ("dma-cast", "nisa.dma_copy(tile((128, 512), nl.bfloat16), x, dge_mode=nisa.dge_mode.hwdge)", None),
        (
            "dma-dge",
            "rows = x.ap([[512, 128], [1, 512]], vector_offset=tile((128, 1), nl.int32))\n"
            "nisa.dma_copy(tile((128, 512)), rows, dge_mode=nisa.dge_mode.none)",
            None,
        ),
        ("dma-dge", "nisa.dma_copy(tile((128, 512)), x, engine=nisa.engine.scalar)", None),
        (
            "dma-bounds",
            "i = tile((4, 1), nl.int32, value=128)\n"
            "nisa.dma_copy(tile((4, 512)), x.ap([[512, 4], [1, 512]], vector_offset=i))",
            None,
        ),
        (
            "dma-bounds",
            "i = tile((1, 1), nl.int32, value=-1)\n"
            "nisa.dma_copy(tile((1, 512)), x.ap([[512, 1], [1, 512]], scalar_offset=i))",
            None,
        ),
        (
            "dma-bounds",
            "i = tile((16, 1), nl.uint32, value=2000)\n"
            "pool = nl.ndarray((1024, 64), nl.bfloat16, buffer=nl.private_hbm)\n"
            "rows = pool.ap([[64, 16], [1, 64]], vector_offset=i)\n"
            "nisa.dma_transpose(tile((64, 16), nl.bfloat16), rows)",
            None,
        ),
        (
            "uninitialised",
            "i = tile((4, 1), nl.int32, value=128)\n"
            "a = nl.ndarray((4, 512), nl.float32, buffer=nl.sbuf)\n"
            "nisa.dma_copy(a, x.ap([[512, 4], [1, 512]], vector_offset=i), oob_mode=nisa.oob_mode.skip)\n"
            "nisa.tensor_copy(tile((4, 512)), a)",
            None,
        ),
        (
            "indirect-stride",
            "i = tile((4, 1), nl.int32)\nnisa.dma_copy(tile((4, 64)), x.ap([[64, 4], [1, 64]], vector_offset=i))",
            None,
        ),
        (
            "target",
            "i = tile((4, 1), nl.int32)\nnisa.dma_copy(tile((4, 512)), x.ap([[512, 4], [1, 512]], vector_offset=i))",
            ("trn1", None),
        ),
        ("dma-oob-mode", "nisa.dma_copy(tile((128, 512)), x, oob_mode=nisa.oob_mode.skip)", None),
        ("dma-transpose", "nisa.dma_transpose(tile((128, 512)), x)", None),
        (
            "dma-transpose",
            "nisa.dma_transpose(tile((128, 64)), x[0:64, 0:128], dge_mode=nisa.dge_mode.hwdge)",
            None,
        ),
        ("register", "nisa.register_store(tile((1, 1), nl.int32), nisa.register_alloc())", None),
        ("register", "nl.fori_loop(0, 2, lambda i: nisa.register_move(i, 0))", None),
        ("loop", "nl.fori_loop(0, 2, lambda i: None, step=0)", None),
        ("loop", "nl.fori_loop(0, 2, lambda i: 1)", None),
        ("compile-time-value", "t = 1 if x else 2", None),
        ("launch", "pass", ("trn2", 3)),
        ("launch", "pass", ("trn1", 2)),
        ("program-axis", "nl.program_id(1)", None),
        ("core-sync", "if core == 0: nisa.core_barrier(out, (0, 1))", ("trn2", 2)),
        ("core-sync", "nisa.core_barrier(out, (0, 1))", None),
        (
            "core-sync",
            "nisa.sendrecv(tile((1, 1)), tile((1, 1)), 1 - core, 1 - core, pipe_id=core)",
            ("trn2", 2),
        ),
        ("core-race", "if core == 1: nisa.dma_copy(tile((1, 1)), out)", ("trn2", 2)),
        ("core-race", "nisa.dma_copy(out, tile((1, 1)))", ("trn2", 2)),
        ("sendrecv", "nisa.sendrecv(bank((1, 1)), tile((1, 1)), 1 - core, 1 - core, 0)", ("trn2", 2)),
        ("sendrecv", "nisa.sendrecv(tile((1, 1)), tile((1, 1)), core, core, 0)", ("trn2", 2)),
        ("same-program", "nl.ndarray((1, 1 + core), nl.float32, buffer=nl.shared_hbm)", ("trn2", 2)),
        ("output-buffer", "return tile((1, 1))", None),
        ("output-buffer", "o = nl.ndarray((1, 1), nl.float32, buffer=nl.hbm)\nnisa.dma_copy(o, out)\nreturn o", None),
        ("output-unwritten", "return nl.ndarray((1, 1), nl.float32, buffer=nl.shared_hbm)", None),
        (
            "output-unwritten",
            "o = nl.ndarray((2, 3), nl.float32, buffer=nl.shared_hbm)\n"
            "nisa.dma_copy(o[:, 0:2], tile((2, 2)))\n"
            "return o",
            None,
        ),
        ("nested-kernel", "inner(x)", None),
    ]
]
RANGE = "nisa.range_select(tile((8, 4)), tile((8, 4)), nl.greater_equal, nl.less, b, b"


@pytest.mark.parametrize(("rule", "body", "target", "cores"), FAULTS, ids=[f"{i}-{f[0]}" for i, f in enumerate(FAULTS)])
def test_fault(rule: str, body: str, target: str, cores: int | None) -> None:
    source = PREAMBLE + textwrap.indent(body.replace("RANGE", RANGE), "    ") + "\n    return out\n"
    with nki_model.on_target(target), pytest.raises(nki.RuleError) as caught:
        nki_model.run(source, "kernel", np.ones((128, 512), np.float32), cores=cores)
    assert caught.value.rule == rule, caught.value


def test_list_argument() -> None:
    with pytest.raises(nki.RuleError, match=re.escape("[list-argument]")):
        nki.simulate(lambda x: x)([1, 2])


def test_every_rule_has_a_fault() -> None:
    assert {rule for rule, *_ in FAULTS} | {"list-argument"} == set(nki.RULES)


def test_the_faults_are_the_only_ones() -> None:
    """The kernel around the faults breaks no rule on any target."""
    for target in nki_model.TARGETS:
        with nki_model.on_target(target):
            assert nki_model.run(PREAMBLE + "    return out\n", "kernel", np.ones((128, 512), np.float32)) == 0
