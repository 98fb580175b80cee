"""Inlining changes no result, keeps the module valid, and takes time linear in what it writes.

What it leaves alone and how it names values is in the FileCheck tests.
"""
# MLIR does not wrap.
# ruff: noqa: E501

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp

from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module
from flashlower.rewrites.inline import InlineCallsPass


def inlined(text: str) -> ModuleOp:
    module = parse_module(text)
    InlineCallsPass().apply(Context(), module)
    module.verify()
    return module


def calls(module: ModuleOp) -> list[CallOp]:
    return [op for op in module.walk() if isinstance(op, CallOp)]


# Results come back in another order and number than arguments, and one of them is an argument.
def test_results_and_arguments_are_matched():
    text = """
    func.func @main(%x: tensor<f32>, %y: tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>) {
      %a, %b, %c = func.call @swap(%x, %y) : (tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>)
      %d, %e, %f = func.call @swap(%a, %c) : (tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>)
      func.return %d, %b, %f : tensor<f32>, tensor<f32>, tensor<f32>
    }
    func.func private @swap(%x: tensor<f32>, %y: tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>) {
      %0 = "stablehlo.subtract"(%x, %y) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      func.return %y, %x, %0 : tensor<f32>, tensor<f32>, tensor<f32>
    }
    """
    args = [np.array(5, np.float32), np.array(3, np.float32)]
    module = inlined(text)
    assert not calls(module)
    assert run_module(module, args) == run_module(parse_module(text), args)


# Regions of the callee are cloned with their arguments, and what they capture is the caller's.
def test_regions_in_callees_and_captures():
    text = """
    func.func @main(%x: tensor<i32>) -> (tensor<i32>, tensor<i32>) {
      %a = func.call @count(%x) : (tensor<i32>) -> tensor<i32>
      %b = func.call @count(%a) : (tensor<i32>) -> tensor<i32>
      func.return %a, %b : tensor<i32>, tensor<i32>
    }
    func.func private @count(%step: tensor<i32>) -> tensor<i32> {
      %limit = "stablehlo.constant"() <{value = dense<20> : tensor<i32>}> : () -> tensor<i32>
      %r = "stablehlo.while"(%step) ({
      ^bb0(%i: tensor<i32>):
        %go = "stablehlo.compare"(%i, %limit) <{comparison_direction = #stablehlo<comparison_direction LT>}> : (tensor<i32>, tensor<i32>) -> tensor<i1>
        "stablehlo.return"(%go) : (tensor<i1>) -> ()
      }, {
      ^bb0(%i: tensor<i32>):
        %next = "stablehlo.add"(%i, %step) : (tensor<i32>, tensor<i32>) -> tensor<i32>
        "stablehlo.return"(%next) : (tensor<i32>) -> ()
      }) : (tensor<i32>) -> tensor<i32>
      func.return %r : tensor<i32>
    }
    """
    args = [np.array(7, np.int32)]
    module = inlined(text)
    assert not calls(module)
    assert run_module(module, args) == run_module(parse_module(text), args) == (21, 21)


# Ten functions that each call the one before twice: as many copies as results need, and none twice.
def test_work_is_linear_in_the_result():
    depth = 10
    functions = [
        """
    func.func private @f0(%x: tensor<f32>) -> tensor<f32> {
      %0 = "stablehlo.negate"(%x) : (tensor<f32>) -> tensor<f32>
      func.return %0 : tensor<f32>
    }"""
    ]
    for i in range(1, depth + 1):
        functions.append(f"""
    func.func {"private" if i < depth else "public"} @f{i}(%x: tensor<f32>) -> tensor<f32> {{
      %0 = func.call @f{i - 1}(%x) : (tensor<f32>) -> tensor<f32>
      %1 = func.call @f{i - 1}(%0) : (tensor<f32>) -> tensor<f32>
      func.return %1 : tensor<f32>
    }}""")
    # Callers stand before callees: the order in the text must not matter.
    module = inlined("\n".join(reversed(functions)))
    (only,) = [op for op in module.ops if isinstance(op, FuncOp)]
    assert only.sym_name.data == f"f{depth}"
    assert len(list(only.body.block.ops)) == 2**depth + 1
    assert isinstance(only.body.block.last_op, ReturnOp)


# A chain of a thousand functions is no deeper recursion than one.
def test_long_chains_of_calls():
    length = 1000
    chain = "\n".join(
        f"""
    func.func {"public" if i == 0 else "private"} @f{i}(%x: tensor<f32>) -> tensor<f32> {{
      %0 = func.call @f{i + 1}(%x) : (tensor<f32>) -> tensor<f32>
      func.return %0 : tensor<f32>
    }}"""
        for i in range(length)
    )
    last = f"func.func private @f{length}(%x: tensor<f32>) -> tensor<f32> {{ func.return %x : tensor<f32> }}"
    module = inlined(chain + last)
    assert len(list(module.ops)) == 1 and not calls(module)


# Calls into a recursion from outside stay; a function that only leads to one is inlined.
def test_recursion():
    module = inlined("""
    func.func @main(%x: tensor<f32>) { func.call @leads(%x) : (tensor<f32>) -> () func.return }
    func.func private @leads(%x: tensor<f32>) { func.call @a(%x) : (tensor<f32>) -> () func.return }
    func.func private @a(%x: tensor<f32>) { func.call @b(%x) : (tensor<f32>) -> () func.return }
    func.func private @b(%x: tensor<f32>) {
      func.call @leaf(%x) : (tensor<f32>) -> ()
      func.call @a(%x) : (tensor<f32>) -> ()
      func.return
    }
    func.func private @leaf(%x: tensor<f32>) { func.return }
    """)
    found = [(op.parent_op().sym_name.data, op.callee.string_value()) for op in calls(module)]  # type: ignore[union-attr]
    assert found == [("main", "a"), ("a", "b"), ("b", "a")]
