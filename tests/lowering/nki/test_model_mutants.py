"""The checker and the mutants of `nki_model`: what is wrong with a file is found, and no mutant of a kernel survives.

The kernel here is flash decoding by hand, with keys in two tiles, a length and an online softmax.
"""

import nki_model
import numpy as np
import pytest
from nki_model.checker import RULES, check
from nki_model.mutants import killed_by, mutants, survivors

KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl

MIN = -3.4028234663852886e+38


@nki.jit
def decode(q, k, v, length):
    out = nl.ndarray((4, 24), dtype=nl.float32, buffer=nl.shared_hbm)
    q_rows = nl.ndarray((4, 16), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=q_rows, src=q)
    q_psum = nl.ndarray((16, 4), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_transpose(dst=q_psum, data=q_rows, engine=nisa.engine.tensor)
    q_t = nl.ndarray((16, 4), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=q_t, src=q_psum)
    whole = nl.ndarray((4, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=whole, src=length.ap(pattern=[[0, 4], [1, 1]], offset=0))
    end = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=end, src=whole)
    begin = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=begin, value=0.0)
    row_max = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=row_max, value=MIN)
    row_sum = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=row_sum, value=0.0)
    rows = nl.ndarray((4, 24), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=rows, value=0.0)
    for tile in range(2):
        k_rows = nl.ndarray((100, 16), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=k_rows, src=k[tile * 100:tile * 100 + 100, :])
        k_psum = nl.ndarray((16, 100), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_transpose(dst=k_psum, data=k_rows, engine=nisa.engine.tensor)
        k_t = nl.ndarray((16, 100), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=k_t, src=k_psum)
        logits = nl.ndarray((4, 100), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=logits, stationary=q_t, moving=k_t, accumulate=False)
        scores = nl.ndarray((4, 100), dtype=nl.float32, buffer=nl.sbuf)
        tile_max = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.range_select(
            dst=scores, on_true_tile=logits, comp_op0=nl.greater_equal, comp_op1=nl.less, bound0=begin, bound1=end,
            reduce_cmd=nisa.reduce_cmd.reset_reduce, reduce_res=tile_max, range_start=tile * 100,
            on_false_value=MIN,
        )
        new_max = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=new_max, data1=row_max, data2=tile_max, op=nl.maximum)
        correction = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=correction, data1=row_max, data2=new_max, op=nl.subtract)
        nisa.activation(dst=correction, op=nl.exp, data=correction)
        negated = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=negated, data=new_max, op0=nl.multiply, operand0=-1.0)
        weights = nl.ndarray((4, 100), dtype=nl.float32, buffer=nl.sbuf)
        tile_sum = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(
            dst=weights, op=nl.exp, data=scores, bias=negated, scale=1.0, reduce_op=nl.add, reduce_res=tile_sum,
            reduce_cmd=nisa.reduce_cmd.reset_reduce,
        )
        nisa.scalar_tensor_tensor(
            dst=row_sum, data=row_sum, op0=nl.multiply, operand0=correction, op1=nl.add, operand1=tile_sum,
        )
        weights_psum = nl.ndarray((100, 4), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_transpose(dst=weights_psum, data=weights, engine=nisa.engine.tensor)
        weights_t = nl.ndarray((100, 4), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=weights_t, src=weights_psum)
        v_rows = nl.ndarray((100, 24), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=v_rows, src=v.ap(pattern=[[24, 100], [1, 24]], offset=tile * 2400))
        products = nl.ndarray((4, 24), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=products, stationary=weights_t, moving=v_rows, accumulate=False)
        nisa.scalar_tensor_tensor(
            dst=rows, data=rows, op0=nl.multiply, operand0=correction, op1=nl.add, operand1=products,
        )
        nisa.tensor_copy(dst=row_max, src=new_max)
    inverse = nl.ndarray((4, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=row_sum)
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=inverse)
    nisa.dma_copy(dst=out, src=rows)
    return out
"""


def data() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Operands, with rows of small and of large logits and 150 keys that count; and the attention."""
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 16), (200, 16), (200, 24)))
    q *= np.array([[0.1], [0.2], [20], [50]], np.float32)
    logits = q.astype(np.float64) @ k[:150].astype(np.float64).T
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (q, k, v, np.array([[150]], np.int32)), weights / weights.sum(axis=1, keepdims=True) @ v[:150]


def run(source: str) -> np.ndarray:
    with nki_model.on_target("trn2"):
        return nki_model.run(source, "decode", *data()[0])


def test_the_kernel_is_right() -> None:
    assert check(KERNEL) == []
    want = data()[1]
    assert np.linalg.norm(run(KERNEL) - want) / np.linalg.norm(want) < 1e-5


@pytest.mark.skipif(
    not nki_model.is_model(), reason="Amazon's simulator does not know liveness, banks or unwritten memory"
)
def test_no_mutant_survives() -> None:
    found = list(mutants(KERNEL))
    assert len(found) > 100
    assert survivors(found, run, data()[1], 1e-4) == []


def test_what_kills() -> None:
    """A mutant of each kind, by what finds it: the checker, a rule, the numbers."""
    edits = {
        "stationary=q_t, moving=k_t, accumulate=False": ("stationary=q_t, moving=k_t", "checker: explicit-accumulate"),
        "comp_op1=nl.less, ": ("comp_op1=nl.less_equal, ", "numbers"),
        "accumulate=False": ("accumulate=True", "rule: matmul-accumulate"),
    }
    for old, (new, killer) in edits.items():
        assert killed_by(KERNEL.replace(old, new), run, data()[1], 1e-4) == killer
    assert killed_by(KERNEL, run, data()[1], 1e-4) is None


BODY = (
    "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n\n\n@nki.jit\ndef f(x):\n    BODY\n    return x\n"
)
WRONG = [
    ("syntax", "def f(:"),
    ("import", "import neuronxcc.nki as nki\n" + BODY.replace("BODY", "pass")),
    ("import", BODY.replace("import nki\n", "import nki\nimport numpy as np\n", 1).replace("BODY", "pass")),
    ("no-kernel", BODY.replace("@nki.jit\n", "").replace("BODY", "pass")),
    ("kernel-signature", BODY.replace("f(x)", "f(x, *, y)").replace("BODY", "pass")),
    ("kernel-result", BODY.replace("    return x\n", "").replace("BODY", "pass")),
    *(
        (rule, BODY.replace("BODY", body))
        for rule, body in [
            ("is-operator", "y = x is None"),
            ("python-subset", "try:\n        pass\n    except ValueError:\n        pass"),
            ("python-subset", "y = {1: 2}"),
            ("python-subset", "y = lambda: 1"),
            ("builtin", "y = sorted(x)"),
            ("undefined-name", "y = z"),
            ("unknown-function", "nisa.nc_matmul2(x)"),
            ("unknown-function", "nisa.tensor_copy_dynamic_src(x)"),
            ("unknown-name", "y = nl.float64"),
            ("unknown-name", "y = nisa.engine.pool"),
            ("arguments", "nisa.tensor_copy(dst=x)"),
            ("arguments", "nisa.tensor_copy(x, x, mask=x)"),
            ("arguments", "nisa.tensor_copy(x, x, dst=x)"),
            ("arguments", "nisa.reciprocal(x, x, None, 1)"),
            ("arguments", "y = x.ap(offset=0)"),
            ("enum-literal", "nisa.tensor_tensor(x, x, x, op='add')"),
            ("enum-literal", "nisa.dma_copy(x, x, dge_mode=2)"),
            ("enum-literal", "y = nl.ndarray((1, 1), 'float32')"),
            ("explicit-accumulate", "nisa.nc_matmul(x, x, x)"),
            ("experimental", "y = nl.exp(x)"),
            ("deprecated", "for i in nl.affine_range(2):\n        pass"),
            ("store-by-assignment", "x[0] = 1"),
        ]
    ),
]


@pytest.mark.parametrize(("rule", "source"), WRONG, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(WRONG)])
def test_checker(rule: str, source: str) -> None:
    assert rule in {problem.rule for problem in check(source)}


def test_checker_accepts_what_is_right_and_every_rule_is_tested() -> None:
    assert check(BODY.replace("BODY", "y = nl.ndarray((1, 1), nl.float32, nl.sbuf)")) == []
    assert {rule for rule, _ in WRONG} == set(RULES)
