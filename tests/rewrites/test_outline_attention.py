"""`outline-attention`: programs compute the same, kernels see only their operands, and kernels stay kernels.

The arguments of an outlined function are what a launcher passes to a kernel, so their order and their uniqueness
are locked in here as well.
"""

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase
from pipelines import op_names, transform
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import PassFailedException

from flashlower.dialects.attention import AttentionOp, CombineOp
from flashlower.interpreters import run_module
from flashlower.rewrites.inline import KERNEL_ATTRIBUTE
from flashlower.rewrites.outline_attention import is_kernel_function


def functions(module: ModuleOp) -> dict[str, func.FuncOp]:
    return {op.sym_name.data: op for op in module.ops if isinstance(op, func.FuncOp)}


def argument_names(function: func.FuncOp) -> list[str | None]:
    return [arg.name_hint for arg in function.body.block.args]


def with_work_around(case: AttentionCase) -> str:
    """The case's module, whose @main also negates its first result, so that it is no kernel itself."""
    head, tail = case.module_text().split("\n  func.return %out")
    type = tail.split(": ")[1].split(">")[0] + ">"
    return f'{head}\n  %neg = "stablehlo.negate"(%out) : ({type}) -> {type}\n  func.return %neg{tail}'


@pytest.mark.parametrize("first", ["", "flash-decoding{splits=3},"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_computes_the_same(case: AttentionCase, first: str):
    module = transform(with_work_around(case), f"{first}outline-attention")
    main, kernel = functions(module).values()
    assert not any(isinstance(op, AttentionOp | CombineOp) for op in main.walk())
    assert is_kernel_function(kernel) and KERNEL_ATTRIBUTE in kernel.attributes
    (negated, *rest) = run_module(module, case.inputs())
    case.check([-negated, *rest])


@pytest.mark.parametrize("first", ["", "flash-decoding{splits=3},"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kernel_stays_as_it_is(case: AttentionCase, first: str):
    split = transform(case.module_text(), first.rstrip(","))
    assert is_kernel_function(functions(split)["main"])
    assert str(transform(case.module_text(), f"{first}outline-attention")) == str(split)


def test_outlining_twice_changes_nothing():
    text = with_work_around(CASES[0])
    assert str(transform(text, "outline-attention,outline-attention")) == str(transform(text, "outline-attention"))


def test_arguments_are_operands_then_captures_each_once():
    case = AttentionCase(steps=("bias", "alibi"), kv_lens=True, sinks=True)
    for first in ("", "flash-decoding{splits=3},"):
        module = transform(with_work_around(case), f"{first}outline-attention")
        kernel = functions(module)["main_attention_0"]
        assert argument_names(kernel) == ["q", "k", "v", "kv_lens", "sinks", "c0", "c1"]


SHARED = """
func.func private @twice_attention_0() -> tensor<2x4xf32>
func.func @twice(%x: tensor<2x4xf32>, %len: tensor<i32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %c = tensor.extract %len[] : tensor<i32>
  %limit = arith.index_cast %c : i32 to index
  %lowest = arith.constant 0xFF800000 : f32
  %a = attention.sdpa q(%x[m, k] : tensor<2x4xf32>) k(%x[n, k] : tensor<2x4xf32>) v(%x[n, d] : tensor<2x4xf32>)
      scale(0.3) score {
      ^bb0(%s: f32, %hq: index, %m: index, %n: index):
        %in = arith.cmpi slt, %n, %limit : index
        %r = arith.select %in, %s, %lowest : f32
        attention.yield %r : f32
      } -> out[m, d] : tensor<2x4xf32>
  %b = attention.sdpa q(%a[m, k] : tensor<2x4xf32>) k(%x[n, k] : tensor<2x4xf32>) v(%x[n, d] : tensor<2x4xf32>)
      scale(0.3) -> out[m, d] : tensor<2x4xf32>
  func.return %a, %b : tensor<2x4xf32>, tensor<2x4xf32>
}
"""


def test_shared_operands_scalars_and_taken_names():
    module = transform(SHARED, "outline-attention")
    kernels = functions(module)
    assert list(kernels) == ["twice_attention_0", "twice", "twice_attention_1", "twice_attention_2"]
    # A tensor that is Q, K and V is one argument, a scalar constant none, another scalar one.
    assert argument_names(kernels["twice_attention_1"]) == ["q", "limit"]
    assert argument_names(kernels["twice_attention_2"]) == ["q", "k"]
    assert "arith.constant" in str(kernels["twice_attention_1"])
    args = [np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32), np.int32(1)]
    for want, got in zip(*(run_module(m, args, function="twice") for m in (transform(SHARED), module))):
        np.testing.assert_array_equal(got, want)


def test_a_partial_that_others_read_is_a_kernel_of_its_own():
    case = CASES[0]
    text = str(transform(case.module_text(), "flash-decoding{splits=2}"))
    lines = text.splitlines()
    last = next(i for i, line in enumerate(lines) if "func.return" in line)
    type = next(line for line in lines if "partial(%partial" in line).split(" : ")[1].rstrip(")")
    lines.insert(last, f'    %unused = "stablehlo.negate"(%partial) : ({type}) -> {type}')
    module = transform("\n".join(lines), "outline-attention")
    _, partial, combine = functions(module).values()
    assert "attention.partial" in str(partial) and "attention.combine" in str(combine)
    assert argument_names(combine) == ["partial", "partial_lse"]
    case.check(run_module(module, case.inputs()))


def test_inside_a_loop():
    text = """
    func.func @main(%x: tensor<2x4xf32>, %k: tensor<5x4xf32>) -> tensor<2x4xf32> {
      %zero = "stablehlo.constant"() <{value = dense<0> : tensor<i32>}> : () -> tensor<i32>
      %one = "stablehlo.constant"() <{value = dense<1> : tensor<i32>}> : () -> tensor<i32>
      %count = "stablehlo.constant"() <{value = dense<3> : tensor<i32>}> : () -> tensor<i32>
      %i, %y = "stablehlo.while"(%zero, %x) ({
      ^bb0(%i0: tensor<i32>, %y0: tensor<2x4xf32>):
        %go = "stablehlo.compare"(%i0, %count) <{comparison_direction = #stablehlo<comparison_direction LT>}>
            : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%go) : (tensor<i1>) -> ()
      }, {
      ^bb0(%i0: tensor<i32>, %y0: tensor<2x4xf32>):
        %a = attention.sdpa q(%y0[m, k] : tensor<2x4xf32>) k(%k[n, k] : tensor<5x4xf32>) v(%k[n, d] : tensor<5x4xf32>)
            scale(0.3) -> out[m, d] : tensor<2x4xf32>
        %i1 = "stablehlo.add"(%i0, %one) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%i1, %a) : (tensor<i32>, tensor<2x4xf32>) -> ()
      }) : (tensor<i32>, tensor<2x4xf32>) -> (tensor<i32>, tensor<2x4xf32>)
      func.return %y : tensor<2x4xf32>
    }
    """
    rng = np.random.default_rng(0)
    args = [rng.standard_normal((2, 4)).astype(np.float32), rng.standard_normal((5, 4)).astype(np.float32)]
    module = transform(text, "outline-attention")
    assert op_names(module).count("func.call") == 1
    np.testing.assert_array_equal(run_module(module, args)[0], run_module(transform(text), args)[0])


def test_attention_outside_of_a_function_is_refused():
    text = """
    %q = "stablehlo.constant"() <{value = dense<0.0> : tensor<2x4xf32>}> : () -> tensor<2x4xf32>
    %a = attention.sdpa q(%q[m, k] : tensor<2x4xf32>) k(%q[n, k] : tensor<2x4xf32>) v(%q[n, d] : tensor<2x4xf32>)
        scale(0.3) -> out[m, d] : tensor<2x4xf32>
    """
    with pytest.raises(PassFailedException, match=r"outline-attention: attention\.sdpa outside of a func\.func"):
        transform(text, "outline-attention")
