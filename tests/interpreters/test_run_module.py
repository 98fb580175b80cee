"""run_module finds the function to run and refuses wrong arguments with one error that names both sides."""

import numpy as np
import pytest
from xdsl.parser import Parser
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects.numpy_values import numpy_to_dense
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.interpreters.values import attr_to_numpy

IDENTITY = """
func.func {visibility} @{name}(%x: {type}) -> {type} {{
  func.return %x : {type}
}}
"""


def identity(type: str = "tensor<2xf32>", name: str = "main", visibility: str = "public") -> str:
    return IDENTITY.format(type=type, name=name, visibility=visibility)


@pytest.mark.parametrize(
    "text, function",
    [
        (identity() + identity(name="other"), None),
        (identity(name="other") + identity(name="helper", visibility="private"), None),
        (identity(name="other") + identity(name="helper", visibility="private"), "helper"),
    ],
)
def test_choice_of_the_function(text: str, function: str | None):
    x = np.array([1, 2], np.float32)
    (result,) = run_module(parse_module(text), [x], function=function)
    np.testing.assert_array_equal(result, x)


@pytest.mark.parametrize(
    "text, function, message",
    [
        (
            identity(name="f") + identity(name="g"),
            None,
            "module has no `main` or a single public function to run; its functions are: @f, @g",
        ),
        (identity(), "absent", "module has no @absent to run; its functions are: @main"),
        ('"test.op"() : () -> ()', None, "its functions are: none"),
        ("func.func @main(tensor<2xf32>)", None, "@main is a declaration, which cannot be run"),
    ],
)
def test_no_function(text: str, function: str | None, message: str):
    with pytest.raises(InterpretationError, match=message):
        run_module(parse_module(text), [np.zeros(2, np.float32)], function=function)


@pytest.mark.parametrize(
    "type, args, message",
    [
        ("tensor<2xf32>", [], "@main takes 1 arguments, but got 0"),
        (
            "tensor<2xf32>",
            [np.zeros(2)],
            r"argument 0 of @main has dtype float64, but expected float32 \(tensor<2xf32>\)",
        ),
        (
            "tensor<2x?xf32>",
            [np.zeros((3, 4), np.float32)],
            r"argument 0 of @main has shape \[3, 4\], but expected \[2, \?\] \(tensor<2x\?xf32>\)",
        ),
        ("tensor<2xf32>", [np.zeros((2, 1), np.float32)], r"has shape \[2, 1\], but expected \[2\]"),
        ("f32", [np.zeros(1, np.float32)], r"has shape \[1\], but expected \[\] \(f32\)"),
    ],
)
def test_wrong_arguments(type: str, args: list[np.ndarray], message: str):
    with pytest.raises(InterpretationError, match=message):
        run_module(parse_module(identity(type)), args)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_dynamic_dimensions_take_any_size(size: int):
    x = np.ones((size, 2), np.float32)
    assert run_module(parse_module(identity("tensor<?x2xf32>")), [x])[0].shape == (size, 2)


def test_results_do_not_share_memory_with_arguments():
    x = np.zeros(2, np.float32)
    (result,) = run_module(parse_module(identity()), [x])
    result[0] = 1
    assert x[0] == 0


def test_a_result_without_a_static_shape_is_refused():
    module = parse_module("""
    func.func @main(%x: tensor<?xf32>) -> tensor<1x?xf32> {
      %0 = "stablehlo.reshape"(%x) : (tensor<?xf32>) -> tensor<1x?xf32>
      func.return %0 : tensor<1x?xf32>
    }
    """)
    with pytest.raises(InterpretationError, match=r"result shape tensor<1x\?xf32> is not static"):
        run_module(module, [np.zeros(3, np.float32)])


RESOURCE = """
func.func @main() -> tensor<2xf32> {
  %0 = "stablehlo.constant"() <{value = dense_resource<w> : tensor<2xf32>}> : () -> tensor<2xf32>
  func.return %0 : tensor<2xf32>
}
{-#
  dialect_resources: { builtin: { w: "0x040000000000803F00000040" } }
#-}
"""


def test_resources_need_their_context():
    ctx = make_context()
    module = Parser(ctx, RESOURCE).parse_module()
    assert run_module(module, [], ctx=ctx)[0].tolist() == [1, 2]
    with pytest.raises(InterpretationError, match="dense_resource<w> has no data: parse the module with"):
        run_module(module, [])


def test_attributes_as_arrays():
    array = np.array([[1.5, -2.0]], np.float32)
    np.testing.assert_array_equal(attr_to_numpy(numpy_to_dense(array)), array)
    module = parse_module('"test.op"() {a = array<i64: 3, 4>, b = 2.5 : bf16, c = true, d = "text"} : () -> ()')
    (op,) = module.ops
    assert attr_to_numpy(op.attributes["a"]).tolist() == [3, 4]
    assert attr_to_numpy(op.attributes["b"]) == 2.5
    assert attr_to_numpy(op.attributes["c"]).dtype == np.bool_
    with pytest.raises(InterpretationError, match='attribute "text" has no NumPy value'):
        attr_to_numpy(op.attributes["d"])
