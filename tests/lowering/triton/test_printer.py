"""
`-t triton` prints what the IR says, with names and comments from anywhere.

Random kernels lock in that variables may be shared and expressions inlined: an evaluator that knows only SSA
gives the same numbers. The rest is that no string of a module becomes code, and that the text is stable.
"""

from __future__ import annotations

import ast
import random

import numpy as np
import pytest
from triton_kernels import flash_attention, row_softmax
from triton_random import SIZE, evaluate, launcher, random_kernel
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp, StringAttr, f16, f32, i32
from xdsl.dialects.func import Func
from xdsl.parser import Parser
from xdsl.transforms.common_subexpression_elimination import cse
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects import tl
from flashlower.dialects.launch import Launch
from flashlower.dialects.tl import TL
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.kernel_printer import MAX_LINE
from flashlower.lowering.triton.names import literal
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Arith, Builtin, Func, Launch, TL):
        context.load_dialect(dialect)
    return Parser(context, text).parse_module()


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels_compute_what_ssa_says(seed):
    pytest.importorskip("triton", reason="kernels run where Triton can be installed")
    kernel = random_kernel(random.Random(seed))
    module = ModuleOp([kernel, launcher()])
    numbers = np.arange(3, 3 + SIZE, dtype=np.int32)
    expected = np.zeros(SIZE, np.int32)
    evaluate(kernel, numbers, expected)
    out = call(print_module(module), "main", [numbers, np.zeros(SIZE, np.int32)])
    assert np.array_equal(out, expected)
    # The same after other passes have left values with many uses and no names.
    cse(module)
    out = call(print_module(module), "main", [numbers, np.zeros(SIZE, np.int32)])
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(
    "module",
    [row_softmax(), flash_attention(f16, head=32, causal=True), ModuleOp([random_kernel(random.Random(5))])],
    ids=["softmax", "flash", "random"],
)
def test_the_text_is_stable(module):
    """Printed twice, from a clone, and after a round trip through the textual IR."""
    text = print_module(module)
    assert print_module(module) == text == print_module(module.clone())
    again = print_module(parse(str(module)))
    assert again == text
    assert print_module(parse(str(parse(str(module))))) == again


@pytest.mark.parametrize("module", [row_softmax(), flash_attention(f32, head=64, causal=True)])
def test_lines_are_short_and_nothing_is_imported_but_triton_and_torch(module):
    text = print_module(module)
    assert max(map(len, text.splitlines())) <= MAX_LINE + 10
    imports = {
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imports == {"triton", "triton.language", "torch"}


# Names and strings.

HOSTILE = 'x"""\nimport os\nos.system("echo gone wrong")\r\u2028def f(): #\\'


def names_of(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    "name", ["x\nimport os", 'a"b', "a'b", "", "1x", "class", "é", "a b", "tl", "_check", "float", "__x__", "a;b"]
)
def test_symbols_that_are_no_function_names_are_refused(name):
    for op in (tl.JitOp(name, []), func.FuncOp(name, ([], []))):
        if isinstance(op, tl.JitOp):
            op.body.block.add_op(tl.ReturnOp())
        else:
            op.body.block.add_op(func.ReturnOp())
        with pytest.raises(DiagnosticException, match="cannot name a Python function") as error:
            print_module(ModuleOp([op]))
        assert repr(name) in str(error.value)


def test_two_functions_of_one_name_are_refused():
    kernels = [KernelBuilder("same", {}).finish() for _ in range(2)]
    with pytest.raises(DiagnosticException, match="same"):
        print_module(ModuleOp(list(kernels)))


@pytest.mark.parametrize(
    "hint", ["class", "tl", "a.b", "triton", "float", "$", "interpreter_semantic", "match", "other_kernel", "__x"]
)
def test_hints_become_identifiers(hint):
    b = KernelBuilder("kernel", {"p": tl.PtrType(i32)})
    x = b.load(b.arg("p"), name=hint)
    y = b.load(b.add(b.arg("p"), 1), name=hint)
    b.store(b.arg("p"), b.add(x, y))
    b.store(b.arg("p"), b.sub(x, y))
    other = KernelBuilder("other_kernel", {})
    text = print_module(ModuleOp([b.finish(), other.finish()]))
    (kernel, _) = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    assigned = [n.targets[0].id for n in kernel.body if isinstance(n, ast.Assign)]
    assert len(set(assigned)) == 2
    assert not set(assigned) & {"class", "tl", "triton", "float", "interpreter_semantic", "match", "other_kernel"}


def test_comments_and_docs_stay_comments():
    b = KernelBuilder("kernel", {"p": tl.PtrType(i32)}, doc=HOSTILE)
    x = b.load(b.arg("p"), name="x", comment=HOSTILE)
    b.store(b.arg("p"), x)
    text = print_module(ModuleOp([b.finish()]))
    assert "os" not in names_of(text)
    assert [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)] == ["kernel"]
    # Triton looks for lines that begin with `def`, without regard to strings.
    assert sum(line.strip().startswith("def ") for line in text.splitlines()) == 1


def test_other_strings_stay_data():
    module = parse(
        """
        func.func @main(%x: tensor<?xf32>, %y: tensor<?xf32>) {
          %a = launch.size %x, 0 : tensor<?xf32>
          %b = launch.size %y, 0 : tensor<?xf32>
          launch.require %a, %b, "lengths"
          func.return
        }
        func.func private @left_out(%x: tensor<?xf32>)
        """
    )
    main, left_out = module.body.ops
    (require,) = (op for op in main.body.block.ops if op.name == "launch.require")
    require.properties["message"] = StringAttr(HOSTILE + '{__import__("os")}')
    left_out.properties["sym_name"] = StringAttr(HOSTILE)
    text = print_module(module)
    assert not {"os", "__import__"} & names_of(text)
    functions = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["_check", "main"]


# What is not printed.


def test_a_module_without_kernels_is_a_valid_file():
    text = print_module(ModuleOp([]))
    ast.parse(text)
    assert "nothing to run" in text and "import" not in text


def test_functions_with_other_ops_are_listed():
    module = parse(
        """
        func.func @good(%x: tensor<4xf32>) -> tensor<4xf32> { func.return %x : tensor<4xf32> }
        func.func @adds(%x: tensor<4xf32>) -> tensor<4xf32> {
          %y = arith.addf %x, %x : tensor<4xf32>
          func.return %y : tensor<4xf32>
        }
        func.func @calls(%x: tensor<4xf32>) -> tensor<4xf32> {
          %y = func.call @adds(%x) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %y : tensor<4xf32>
        }
        func.func private @outside(%x: tensor<4xf32>) -> tensor<4xf32>
        """
    )
    text = print_module(module)
    assert "# adds is not printed: it has arith.addf." in text
    assert "# calls is not printed: it calls adds." in text
    assert "# outside is not printed: it has no body." in text
    functions = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["_check", "good"]


def test_invalid_modules_are_refused():
    kernel = KernelBuilder("kernel", {"p": tl.PtrType(i32)})
    x = kernel.load(kernel.arg("p"), name="x")
    kernel.store(kernel.arg("p"), x)
    op = kernel.finish()
    (load,) = (inner for inner in op.body.block.ops if isinstance(inner, tl.LoadOp))
    load.properties["eviction_policy"] = StringAttr('" + evil() + "')
    with pytest.raises(DiagnosticException, match="eviction_policy is one of"):
        print_module(ModuleOp([op]))


# Shape of the text.


def kernel_text(b: KernelBuilder) -> str:
    text = print_module(ModuleOp([b.finish()]))
    return text[text.index("def ") :]


def test_swapped_loop_values_keep_the_old_one():
    b = KernelBuilder("swap", {"p": tl.PtrType(i32), "n": i32})
    x, y = b.load(b.arg("p"), name="x"), b.load(b.add(b.arg("p"), 1), name="y")
    with b.range(0, b.arg("n"), inits={"x": x, "y": y}) as loop:
        b.yield_(x=loop.args.y, y=loop.args.x)
    b.store(b.arg("p"), loop.results.x)
    b.store(b.add(b.arg("p"), 1), loop.results.y)
    assert kernel_text(b) == (
        "def swap(p, n):\n"
        "    x = tl.load(p)\n"
        "    y = tl.load(p + 1)\n"
        "    for i in tl.range(0, n):\n"
        "        next_x = y\n"
        "        y = x\n"
        "        x = next_x\n"
        "    tl.store(p, x)\n"
        "    tl.store(p + 1, y)\n"
    )


def test_an_initial_value_that_is_used_later_is_copied():
    b = KernelBuilder("keep", {"p": tl.PtrType(i32), "n": i32})
    x = b.load(b.arg("p"), name="x")
    with b.range(0, b.arg("n"), inits={"acc": x}) as loop:
        b.yield_(acc=b.add(loop.args.acc, x))
    b.store(b.arg("p"), b.add(loop.results.acc, x))
    assert kernel_text(b) == (
        "def keep(p, n):\n"
        "    x = tl.load(p)\n"
        "    acc = x\n"
        "    for i in tl.range(0, n):\n"
        "        acc = acc + x\n"
        "    tl.store(p, acc + x)\n"
    )


def test_two_loops_carry_one_variable():
    b = KernelBuilder("twice", {"p": tl.PtrType(f32), "n": i32})
    total = b.load(b.arg("p"), name="total")
    for factor in (2.0, 3.0):
        with b.range(0, b.arg("n"), inits={"total": total}) as loop:
            b.yield_(total=b.mul(loop.args.total, factor))
        total = loop.results.total
    b.store(b.arg("p"), total)
    assert kernel_text(b) == (
        "def twice(p, n):\n"
        "    total = tl.load(p)\n"
        "    for i in tl.range(0, n):\n"
        "        total = total * 2.0\n"
        "    for i_1 in tl.range(0, n):\n"
        "        total = total * 3.0\n"
        "    tl.store(p, total)\n"
    )


def test_branches_assign_the_carried_variable():
    b = KernelBuilder("branch", {"p": tl.PtrType(f32), "n": i32})
    x = b.load(b.arg("p"), name="x")
    r = b.if_(b.lt(b.arg("n"), 4), lambda: {"x": b.mul(x, 2.0)}, lambda: {"x": x})
    b.store(b.arg("p"), r.x)
    assert kernel_text(b) == (
        "def branch(p, n):\n    x = tl.load(p)\n    if n < 4:\n        x = x * 2.0\n    tl.store(p, x)\n"
    )


def test_a_load_is_not_moved_over_a_store():
    b = KernelBuilder("order", {"p": tl.PtrType(i32)})
    first = b.load(b.arg("p"))
    b.store(b.arg("p"), 7)
    b.store(b.add(b.arg("p"), 1), b.add(first, b.load(b.arg("p"))))
    assert kernel_text(b) == (
        "def order(p):\n    loaded = tl.load(p)\n    tl.store(p, 7)\n    tl.store(p + 1, loaded + tl.load(p))\n"
    )


def test_parentheses_are_pythons():
    b = KernelBuilder("terms", {"p": tl.PtrType(i32), "n": i32})
    x = b.load(b.arg("p"), name="x")
    values = [
        b.sub(b.sub(x, 1), b.sub(x, 2)),
        b.mul(b.add(x, 1), b.neg(b.neg(x))),
        b.shl(b.add(x, 1), b.and_(x, 3)),
        b.or_(b.and_(x, 1), b.xor(x, b.or_(x, 4))),
        b.where(b.eq(b.lt(x, 1), b.lt(x, 2)), b.mod(x, b.mul(x, 3)), -1),
        b.add(x, -1),
    ]
    for value in values:
        b.store(b.arg("p"), value)
    assert [line.strip() for line in kernel_text(b).splitlines() if "tl.store" in line] == [
        "tl.store(p, x - 1 - (x - 2))",
        "tl.store(p, (x + 1) * --x)",
        "tl.store(p, x + 1 << (x & 3))",
        "tl.store(p, x & 1 | x ^ (x | 4))",
        "tl.store(p, tl.where((x < 1) == (x < 2), x % (x * 3), -1))",
        "tl.store(p, x + -1)",
    ]


@pytest.mark.parametrize("value", [np.finfo(np.float32).max, np.finfo(np.float32).min, np.float32(0.1)])
def test_f32_literals_stay_within_f32(value: np.float32) -> None:
    """`3.4028235e38`, the shortest text of the largest f32, is above it, and Triton would take it for an f64."""
    text = literal(float(value), f32)
    assert abs(float(text)) <= float(np.finfo(np.float32).max)
    assert np.float32(float(text)) == value
