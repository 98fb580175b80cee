"""`decompose-attention` leaves no attention operation, and computes the same in plain StableHLO.

Both forms of a partial are covered (splits of equal length as a reshape, others as masks), every operation of
`arith` and `math` that a score region may hold and StableHLO can say, and NaN behind the lengths, which must not
reach a result although a decomposed module reads all of K and V.
"""

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import op_names, transform
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

from flashlower.interpreters import run_module


def decompose(text: str, first: str = "") -> ModuleOp:
    module = transform(text, f"{first},decompose-attention" if first else "decompose-attention")
    assert not any(name.startswith(("attention.", "arith.", "math.", "tensor.")) for name in op_names(module))
    return module


@pytest.mark.parametrize("splits", [1, 2, 7, 200])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_computes_the_same(case: AttentionCase, splits: int):
    module = decompose(case.module_text(), f"flash-decoding{{splits={splits}}}")
    case.check(run_module(module, case.inputs()))


@pytest.mark.parametrize("seed", range(40))
def test_computes_the_same_in_random_cases(seed: int):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    splits = rng.choice([1, 2, 3, 16])
    module = decompose(case.module_text(), f"flash-decoding{{splits={splits}}}")
    case.check(run_module(module, case.inputs()))


@pytest.mark.parametrize("splits", [2, 3, 6])
@pytest.mark.parametrize("layout", ["bhsd", "flat", "grouped", "no_query"])
@pytest.mark.parametrize("steps", [(), ("causal", "bias", "alibi"), ("relative", "document")])
def test_splits_of_equal_length_are_a_reshape(layout: str, steps: tuple[str, ...], splits: int):
    # Six tiles of 64 keys.
    case = AttentionCase(keys=384, layout=layout, steps=steps, head_size=128, value_size=128)
    module = decompose(case.module_text(), f"flash-decoding{{splits={splits}}}")
    assert f"x{splits}x{384 // splits}x" in str(module)
    assert "split_start" not in str(module)
    case.check(run_module(module, case.inputs()))


PARTIAL = """
func.func @main(%q: tensor<2x4xf32>, %k: tensor<Nx4xf32>, %v: tensor<Nx4xf32>)
    -> (tensor<1x1x3x2x4xf32>, tensor<1x1x3x2xf32>) {
  %out, %lse = attention.partial q(%q[m, k] : tensor<2x4xf32>) k(%k[n, k] : tensor<Nx4xf32>)
      v(%v[n, d] : tensor<Nx4xf32>) splits(3) tile(4) scale(0.5)
      -> out : tensor<1x1x3x2x4xf32>, lse : tensor<1x1x3x2xf32>
  func.return %out, %lse : tensor<1x1x3x2x4xf32>, tensor<1x1x3x2xf32>
}
"""


@pytest.mark.parametrize("keys", [11, 12])
def test_a_value_of_one_split_does_not_reach_the_others(keys: int):
    # A product of weight 0 and an infinity would be NaN.
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((size, 4)).astype(np.float32) for size in (2, keys, keys)]
    arrays[2][5] = np.inf
    text = PARTIAL.replace("N", str(keys))
    want, got = (run_module(module, arrays) for module in (transform(text), decompose(text)))
    assert np.isinf(got[0][:, :, 1]).all() and np.isfinite(got[0][:, :, [0, 2]]).all()
    for a, b in zip(want, got):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        AttentionCase(keys=0),
        AttentionCase(keys=0, sinks=True, kv_lens=True),
        AttentionCase(batch=(0,), steps=("causal", "bias")),
    ],
    ids=str,
)
@pytest.mark.parametrize("splits", [1, 3])
def test_empty_dimensions(case: AttentionCase, splits: int):
    module = decompose(case.module_text(), f"flash-decoding{{splits={splits}}}")
    case.check(run_module(module, case.inputs()))


REGION = """
func.func @main(%q: tensor<5x4xTYPE>, %k: tensor<9x4xTYPE>, %v: tensor<9x4xTYPE>, %t: tensor<5x9xTYPE>,
                %p: tensor<9xTYPE>, %i: tensor<5xi8>) -> tensor<5x4xTYPE> {
  %o = attention.sdpa q(%q[m, k] : tensor<5x4xTYPE>) k(%k[n, k] : tensor<9x4xTYPE>) v(%v[n, d] : tensor<9x4xTYPE>)
      scale(0.5) score {
      ^bb0(%s: TYPE, %hq: index, %m: index, %n: index):
        %t0 = tensor.extract %t[%m, %n] : tensor<5x9xTYPE>
        %p0 = tensor.extract %p[%n] : tensor<9xTYPE>
        %i0 = tensor.extract %i[%m] : tensor<5xi8>
        %zero = arith.constant 0.0 : TYPE
        %one = arith.constant 1.0 : TYPE
        %three = arith.constant 3 : index
        %minus = arith.constant -2 : index
        %mi = arith.subi %n, %m : index
        %mi64 = arith.index_cast %mi : index to i64
        BODY
        attention.yield %r : TYPE
      }
      -> out[m, d] : tensor<5x4xTYPE>
  func.return %o : tensor<5x4xTYPE>
}
"""
"""A score region over a logit, tensors with NaN (%t0), positive numbers (%p0) and small integers (%i0), and indices."""


def check_region(body: str, type: str = "f32") -> None:
    dtype = {"f32": np.float32, "f64": np.float64}[type]
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((size, 4)).astype(dtype) for size in (5, 9, 9))
    t = np.where(rng.random((5, 9)) < 0.2, np.nan, rng.integers(-2, 3, (5, 9))).astype(dtype)
    p = rng.uniform(0.5, 2, 9).astype(dtype)
    i = np.array([-128, -3, 0, 5, 127], np.int8)
    text = REGION.replace("TYPE", type).replace("BODY", body.replace("TYPE", type))
    want, got = (run_module(module, [q, k, v, t, p, i])[0] for module in (transform(text), decompose(text)))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    assert not np.isnan(want).all()


def from_integer(body: str) -> str:
    """Lines that make an i64 %x, as a logit that tells its values apart."""
    return body + "\n%f = arith.sitofp %x : i64 to TYPE\n%a = arith.mulf %f, %p0 : TYPE\n%r = math.tanh %a : TYPE"


def from_condition(body: str) -> str:
    """Lines that make an i1 %x."""
    return body + "\n%r = arith.select %x, %s, %one : TYPE"


@pytest.mark.parametrize(
    "predicate",
    ["false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"],
)
def test_float_comparisons(predicate: str):
    check_region(from_condition(f"%x = arith.cmpf {predicate}, %t0, %one : TYPE"))


@pytest.mark.parametrize("predicate", ["eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"])
def test_integer_comparisons(predicate: str):
    check_region(from_condition(f"%x = arith.cmpi {predicate}, %mi, %three : index"))
    bits = "%a0 = arith.cmpi slt, %n, %three : index\n%b0 = arith.cmpi slt, %m, %three : index\n"
    check_region(from_condition(f"{bits}%x = arith.cmpi {predicate}, %a0, %b0 : i1"))


@pytest.mark.parametrize("divisor", ["%three", "%minus"])
@pytest.mark.parametrize(
    "op",
    [
        "divsi",
        "divui",
        "floordivsi",
        "ceildivsi",
        "remsi",
        "remui",
        "maxsi",
        "maxui",
        "minsi",
        "minui",
        "addi",
        "subi",
        "muli",
        "andi",
        "ori",
        "xori",
    ],
)
def test_index_arithmetic(op: str, divisor: str):
    check_region(from_integer(f"%x0 = arith.{op} %mi, {divisor} : index\n%x = arith.index_cast %x0 : index to i64"))


@pytest.mark.parametrize("op", ["shli", "shrsi", "shrui"])
def test_shifts(op: str):
    check_region(from_integer(f"%by = arith.constant 2 : i64\n%x = arith.{op} %mi64, %by : i64"))


@pytest.mark.parametrize("op", ["addi", "subi", "muli", "andi", "ori", "xori"])
def test_booleans(op: str):
    bits = "%a0 = arith.cmpi slt, %n, %three : index\n%b0 = arith.cmpi slt, %m, %three : index\n"
    check_region(from_condition(f"{bits}%x = arith.{op} %a0, %b0 : i1"))


@pytest.mark.parametrize(
    "body",
    [
        "%x = arith.extsi %i0 : i8 to i64",
        "%x = arith.extui %i0 : i8 to i64",
        "%b0 = arith.trunci %i0 : i8 to i1\n%x = arith.extsi %b0 : i1 to i64",
        "%b0 = arith.trunci %i0 : i8 to i1\n%x = arith.extui %b0 : i1 to i64",
        "%b0 = arith.trunci %mi64 : i64 to i8\n%x = arith.extsi %b0 : i8 to i64",
        "%s3 = arith.mulf %s, %p0 : TYPE\n%x = arith.fptosi %s3 : TYPE to i64",
        "%x = math.absi %mi64 : i64",
    ],
)
def test_integer_conversions(body: str):
    check_region(from_integer(body))


@pytest.mark.parametrize(
    "body",
    [
        "%r = arith.uitofp %i0 : i8 to TYPE",
        "%r = arith.sitofp %i0 : i8 to TYPE",
        "%b0 = arith.cmpi slt, %n, %m : index\n%r = arith.sitofp %b0 : i1 to TYPE",
        "%b0 = arith.cmpi slt, %n, %m : index\n%r = arith.uitofp %b0 : i1 to TYPE",
        "%h = arith.truncf %s : TYPE to bf16\n%r = arith.extf %h : bf16 to TYPE",
    ],
)
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_float_conversions(body: str, type: str):
    check_region(body, type)


def test_bitcast():
    check_region("%b = arith.bitcast %s : f32 to i32\n%r0 = arith.bitcast %b : i32 to f32\n%r = arith.negf %r0 : f32")


@pytest.mark.parametrize("op", ["maximumf", "minimumf", "maxnumf", "minnumf"])
def test_float_extrema(op: str):
    number = "arith.cmpf ord, %t0, %t0" if op in ("maximumf", "minimumf") else "arith.cmpf true, %t0, %t0"
    # NaN is turned into 0 afterwards, so that rows with one stay comparable.
    body = f"%x = arith.{op} %t0, %s : TYPE\n%c = {number} : TYPE\n%r = arith.select %c, %x, %zero : TYPE"
    check_region(body)
    check_region(body.replace("%t0, %s :", "%s, %t0 :"))


@pytest.mark.parametrize(
    "op",
    [
        "absf",
        "cbrt",
        "ceil",
        "cos",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "log",
        "log10",
        "log1p",
        "log2",
        "round",
        "roundeven",
        "rsqrt",
        "sin",
        "sqrt",
        "tan",
        "tanh",
    ],
)
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_float_functions(op: str, type: str):
    check_region(f"%f = math.{op} %p0 : TYPE\n%r = arith.addf %s, %f : TYPE", type)


@pytest.mark.parametrize("op", ["math.powf", "math.atan2", "arith.divf", "arith.subf"])
def test_float_functions_of_two(op: str):
    check_region(f"%r = {op} %p0, %s : TYPE" if op != "math.atan2" else f"%r = {op} %s, %p0 : TYPE")


def test_fma():
    check_region("%r = math.fma %s, %p0, %one : TYPE")


def test_dim():
    check_region(
        from_integer(
            "%z = arith.constant 1 : index\n%d = tensor.dim %t, %z : tensor<5x9xTYPE>\n"
            "%d0 = arith.muli %d, %mi : index\n%x = arith.index_cast %d0 : index to i64"
        )
    )


@pytest.mark.parametrize("indices", ["%m, %m", "%n, %m", "%m, %mi", "%three, %n", "%hq, %hq", "%c4, %n"])
def test_reads_by_any_index(indices: str):
    # %n and %mi leave the tensor: reads clamp. %m twice is a diagonal.
    body = f"%c4 = arith.constant 4 : index\n%x = tensor.extract %t[{indices}] : tensor<5x9xTYPE>\n"
    check_region(body + "%c = arith.cmpf ord, %x, %x : TYPE\n%r = arith.select %c, %x, %s : TYPE")


def test_unsupported_operations_are_named():
    with pytest.raises(DiagnosticException, match=r"decompose-attention: math\.erf in a score region has no form"):
        check_region("%r = math.erf %s : TYPE")


def test_scalars_from_outside():
    text = """
    func.func @main(%q: tensor<4x8xf32>, %k: tensor<9x8xf32>, %len: tensor<i32>) -> tensor<4x8xf32> {
      %c = tensor.extract %len[] : tensor<i32>
      %limit = arith.index_cast %c : i32 to index
      %lowest = arith.constant 0xFF800000 : f32
      %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%k[n, k] : tensor<9x8xf32>) v(%k[n, d] : tensor<9x8xf32>)
          scale(0.3) score {
          ^bb0(%s: f32, %hq: index, %m: index, %n: index):
            %in = arith.cmpi slt, %n, %limit : index
            %r = arith.select %in, %s, %lowest : f32
            attention.yield %r : f32
          } -> out[m, d] : tensor<4x8xf32>
      func.return %o : tensor<4x8xf32>
    }
    """
    rng = np.random.default_rng(0)
    args = [rng.standard_normal((4, 8)).astype(np.float32), rng.standard_normal((9, 8)).astype(np.float32), np.int32(5)]
    want = run_module(transform(text), args)[0]
    np.testing.assert_allclose(run_module(transform(text, "decompose-attention"), args)[0], want, rtol=1e-5, atol=1e-6)
    as_argument = text.replace("%len: tensor<i32>", "%limit: index").replace("%c = tensor.extract %len[]", "// ")
    as_argument = as_argument.replace("%limit = arith.index_cast %c : i32 to index", "")
    with pytest.raises(DiagnosticException, match="captures a scalar of type index that is an argument"):
        transform(as_argument, "decompose-attention")


def test_dynamic_sizes_are_refused():
    text = """
    func.func @main(%q: tensor<4x8xf32>, %k: tensor<?x8xf32>) -> tensor<4x8xf32> {
      %o = attention.sdpa q(%q[m, k] : tensor<4x8xf32>) k(%k[n, k] : tensor<?x8xf32>) v(%k[n, d] : tensor<?x8xf32>)
          scale(0.3) -> out[m, d] : tensor<4x8xf32>
      func.return %o : tensor<4x8xf32>
    }
    """
    with pytest.raises(DiagnosticException, match=r"attention\.sdpa has dynamic sizes \(n\)"):
        transform(text, "decompose-attention")
