"""Text that is not a readable module gives one error with its place and what to do; a readable one comes out whole.

The Python API reads every module through `parse_module`, so its errors are what users see first.
"""

import pathlib

import numpy as np
import pytest
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, DenseResourceAttr
from xdsl.parser import Parser

from flashlower.dialects.numpy_values import dense_to_numpy
from flashlower.dialects.parsing import ModuleTextError, inline_resources, make_context, parse_module
from flashlower.dialects.stablehlo import ConstantOp

CORPUS = pathlib.Path(__file__).parents[1] / "corpus"

ADVICE = (
    "StableHLO is read as text in MLIR's generic form: print the module with "
    "`get_asm(print_generic_op_form=True)` in Python, or with `--mlir-print-op-generic` on a command line"
)

RESOURCE_MODULE = """
"builtin.module"() ({
  %%0 = "stablehlo.constant"() <{value = dense_resource<weights> : tensor<2xf32>}> : () -> tensor<2xf32>
  %%1 = "stablehlo.constant"() <{value = dense_resource<weights> : tensor<2xf32>}> : () -> tensor<2xf32>
}) : () -> ()
{-#
  dialect_resources: { builtin: { weights: "0x04000000%s" } }
#-}
"""


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "func.func @main(%x: tensor<2xf32>) {\n  %0 = stablehlo.add %x, %x : tensor<2xf32>\n}",
            f"m.mlir:2:22: stablehlo.add is in pretty form, but {ADVICE}",
        ),
        ("%0 = stablehlo.rng %a", f"m.mlir:1:20: stablehlo.rng is in pretty form, but {ADVICE}"),
        ("nonsense here", "m.mlir:1:10: expected an op, but got nonsense"),
        # No token at all at the start.
        ("# A page of text", "m.mlir:1:1: "),
        ("  \n", "m.mlir: text is empty"),
        (b"ML\xefR\x01\x02", f"m.mlir: this is MLIR bytecode, but {ADVICE}"),
        (b"\xff\xfe", "m.mlir: text is not UTF-8"),
        (
            '"builtin.module"() ({\n\n'
            '  %0 = "stablehlo.constant"() <{value = dense<3> : tensor<i8>}> : () -> tensor<2xi8>\n'
            "}) : () -> ()",
            "m.mlir:3:3: stablehlo.constant does not verify: value has type tensor<i8>, but expected tensor<2xi8>",
        ),
        ('"test.op"() {a = dense<300> : tensor<i8>} : () -> ()', "m.mlir:1:41: Integer value 300 is out of range"),
        ('"test.op"() {a = 1.0e99 : f32} : () -> ()', "m.mlir:1:30: float too large"),
        (
            '"test.op"() {a = #stablehlo.dot<foo = [1]>} : () -> ()',
            "m.mlir:1:32: stablehlo.dot takes each of the fields lhs_batching_dimensions, rhs_batching_dimensions, "
            "lhs_contracting_dimensions, rhs_contracting_dimensions at most once, but got foo",
        ),
        (
            '"test.op"() {a = #stablehlo.result_accuracy<ulps = 1>} : () -> ()',
            "m.mlir:1:44: stablehlo.result_accuracy needs the fields mode",
        ),
        # A text that was cut off in a string, where xDSL would not come to an end.
        (
            '"test.op"() {a = "' + "long " * 20,
            "m.mlir:1:18: string literal does not end on its line, or has an escape that MLIR does not know",
        ),
        ('// a "comment\n"test.op"() {a = "\\z"} : () -> ()', "m.mlir:2:18: string literal does not end on its line"),
        (
            '%0 = "test.op"() : () -> i32\n"test.op"(%1) : (i32) -> ()\n%1 = "test.op"() : () -> i32',
            "m.mlir:2:1: test.op reads a value that is not defined before it, or not in a region around it",
        ),
        (
            '"test.op"(%0) : (i32) -> ()\n"builtin.module"() ({\n  %0 = "test.op"() : () -> i32\n}) : () -> ()',
            "m.mlir:1:1: test.op reads a value that is not defined before it, or not in a region around it",
        ),
        (RESOURCE_MODULE % "0000", "dense_resource<weights> : tensor<2xf32> cannot be read: literal has 2 bytes"),
    ],
)
def test_errors(text: str | bytes, expected: str):
    with pytest.raises(ModuleTextError) as error:
        parse_module(text, name="m.mlir")
    assert str(error.value).startswith(expected)


def test_errors_show_only_the_start_of_a_long_line():
    weights = "0" * 100_000
    text = f'"test.op"() {{a = "{weights}", b = oops}} : () -> ()'
    with pytest.raises(ModuleTextError) as error:
        parse_module(text)
    assert len(str(error.value)) < 500


# Contexts share xDSL's builtin dialect, which renames a key that another module used: the second module lost its data.
def test_resources_of_two_modules_with_the_same_key():
    for value in (1.0, 2.0):
        data = np.full(2, value, np.float32).tobytes().hex()
        constants = [op for op in parse_module(RESOURCE_MODULE % data).walk() if isinstance(op, ConstantOp)]
        assert len(constants) == 2
        for op in constants:
            assert isinstance(op.value, DenseIntOrFPElementsAttr)
            assert dense_to_numpy(op.value).tolist() == [value, value]


def test_resources_become_literals_that_print():
    text = RESOURCE_MODULE % np.array([1.0, -2.0], np.float32).tobytes().hex()
    printed = str(parse_module(text))
    assert "dense<[1.000000e+00, -2.000000e+00]> : tensor<2xf32>" in printed
    assert "dense_resource" not in printed


def test_resource_without_data_stays():
    module = parse_module(
        '"test.op"() {a = dense_resource<elided> : tensor<2xf32>} : () -> ()',
    )
    (op,) = module.ops
    assert isinstance(op.attributes["a"], DenseResourceAttr)


def test_inline_resources_takes_the_context_of_another_parser():
    context = make_context()
    text = RESOURCE_MODULE % np.array([3.0, 4.0], np.float32).tobytes().hex()
    module = Parser(context, text).parse_module()
    inline_resources(module, context)
    assert "dense<[3.000000e+00, 4.000000e+00]> : tensor<2xf32>" in str(module)


def test_unregistered_ops_pass_through():
    text = '"other.op"() <{a = #other.attr<x>, b = #stablehlo<rng_algorithm DEFAULT>}> : () -> ()'
    assert text in str(parse_module(text))


def test_own_dialects_are_known():
    context = make_context()
    assert context.get_optional_op("stablehlo.add") is not None
    assert context.get_optional_op("stablehlo.add").__module__.startswith("flashlower.")
