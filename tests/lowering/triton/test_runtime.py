"""
Emitted files run: in Triton's interpreter on NumPy arrays and torch CPU tensors, and through its compiler.

Numbers are compared with NumPy in float64. What is locked in: kernels compute what their ops say (masks, odd
sizes, any strides, bf16 included), the interpreter and the compiler live in one process in any order, and
errors name the argument.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from triton_kernels import elementwise, flash_attention, row_softmax
from triton_random import random_kernel
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp, bf16, f16, f32, i1, i8, i16, i32, i64
from xdsl.dialects.func import Func
from xdsl.ir import Attribute
from xdsl.parser import Parser

import flashlower
from flashlower.dialects import tl
from flashlower.dialects.launch import Launch
from flashlower.lowering.source_cache import _fallback_directory, cache_directory, write_source
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels, gpu_target, signature_type
from flashlower.lowering.triton.loading import load_source
from flashlower.lowering.triton.numpy_tensor import NumpyTensor
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")


def attention(q, k, v, causal):
    """Softmax attention in float64; a query without keys gives 0."""
    q, k, v = (np.asarray(t, dtype=np.float64) for t in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if causal:
        m, n = s.shape[-2:]
        s = np.where(np.arange(n) <= np.arange(m)[:, None] + n - m, s, -np.inf)
    top = s.max(-1, keepdims=True, initial=-1e30)
    p = np.exp(s - top)
    total = p.sum(-1, keepdims=True)
    return p @ v / np.where(total > 0, total, 1)


TOLERANCE = {np.float32: 2e-6, np.float16: 2e-3, ml_dtypes.bfloat16: 2e-2}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("element", "dtype"), [(f32, np.float32), (f16, np.float16), (bf16, ml_dtypes.bfloat16)])
@pytest.mark.parametrize(("queries", "keys"), [(1, 33), (7, 75), (16, 64), (5, 3)])
def test_flash_attention(element, dtype, causal, queries, keys):
    """Grouped heads, tails in both directions, rows without keys (5 causal queries of 3 keys)."""
    rng = np.random.default_rng(0)
    q = rng.standard_normal((2, 6, queries, 16)).astype(dtype)
    # Heads after the sequence: strides are the kernel's business.
    k, v = (rng.standard_normal((2, keys, 2, 16)).astype(dtype).swapaxes(1, 2) for _ in range(2))
    source = print_module(flash_attention(element, head=16, causal=causal))
    out = call(source, "main", [q, k, v])
    assert out.dtype == dtype
    expected = attention(q, k, v, causal)
    assert np.abs(out.astype(np.float64) - expected).max() <= TOLERANCE[dtype] * max(1, np.abs(expected).max())


def test_flash_attention_of_no_keys():
    """Zero-size arrays are launched like others; the loop does not run."""
    q, empty = np.ones((1, 2, 3, 16), np.float32), np.ones((1, 1, 0, 16), np.float32)
    out = call(print_module(flash_attention(f32, head=16)), "main", [q, empty, empty])
    assert np.array_equal(out, np.zeros_like(q))


def test_flash_attention_with_torch_on_the_cpu():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, h, n, 16, generator=generator).bfloat16() for h, n in ((4, 3), (2, 40), (2, 40)))
    out = call(print_module(flash_attention(bf16, head=16)), "main", [q, k, v])
    assert isinstance(out, torch.Tensor) and out.dtype == torch.bfloat16
    expected = attention(q.float().numpy(), k.float().numpy(), v.float().numpy(), False)
    assert np.abs(out.float().numpy() - expected).max() < 2e-2


@pytest.mark.parametrize("view", ["plain", "reversed", "transposed", "broadcast", "read-only"])
def test_arrays_of_any_layout(view):
    x = np.random.default_rng(1).standard_normal((5, 37)).astype(np.float32)
    if view == "reversed":
        x = x[::-1, ::-1]
    elif view == "transposed":
        x = np.asfortranarray(x)
    elif view == "broadcast":
        x = np.broadcast_to(x[:1], (5, 37))
    elif view == "read-only":
        x.flags.writeable = False
    before = x.copy()
    out = call(print_module(row_softmax()), "main", [x])
    p = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    assert np.abs(out - p / p.sum(1, keepdims=True)).max() < 1e-6
    assert np.array_equal(x, before)


# The types of all that is between two loads and a store.


def binary(op: str, element: Attribute):
    return elementwise([element, element], element, lambda b, x, y: getattr(b, op)(x, y))


@pytest.mark.parametrize(
    ("op", "numpy_op"),
    [
        ("add", np.add),
        ("sub", np.subtract),
        ("mul", np.multiply),
        # Triton divides as C does, not as Python.
        ("floordiv", lambda x, y: np.trunc(x / y).astype(x.dtype)),
        ("mod", np.fmod),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
        ("and_", np.bitwise_and),
        ("or_", np.bitwise_or),
        ("xor", np.bitwise_xor),
    ],
)
@pytest.mark.parametrize(("element", "dtype"), [(i32, np.int32), (i64, np.int64)])
def test_integer_operators(op, numpy_op, element, dtype):
    x = np.arange(-20, 20).astype(dtype)
    y = np.tile([-7, -3, -2, -1, 1, 2, 3, 7], 5).astype(dtype)
    out = call(print_module(binary(op, element)), "main", [x, y])
    assert np.array_equal(out, numpy_op(x, y))


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
@pytest.mark.parametrize(("element", "dtype"), [(bf16, ml_dtypes.bfloat16), (f16, np.float16)])
def test_16_bit_arithmetic_rounds_to_nearest(op, element, dtype):
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal(500).astype(dtype) for _ in range(2))
    out = call(print_module(binary(op, element)), "main", [x, y])
    numpy_op = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[op]
    expected = numpy_op(x.astype(np.float32), y.astype(np.float32)).astype(dtype)
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.float16])
def test_casts_round_to_nearest_even(dtype):
    """Triton's own interpreter cuts bf16 and loses the carry from the mantissa: 1.999 became 1.0."""
    element = {
        "bfloat16": bf16,
        "float16": f16,
        "float8_e4m3fn": tl.types.Float8E4M3FNType(),
        "float8_e5m2": tl.types.Float8E5M2Type(),
    }[np.dtype(dtype).name]
    x = np.array([1.999, 1.001, -3.9999, 0.1, 1e-3, -2.5, 7.7, 0.0], np.float32)
    module = elementwise([f32], element, lambda b, x: b.cast(x, element))
    out = call(print_module(module), "main", [x])
    assert np.array_equal(out.astype(np.float32), x.astype(dtype).astype(np.float32))
    back = elementwise([element], f32, lambda b, x: b.cast(x, f32))
    assert np.array_equal(call(print_module(back), "main", [out]), out.astype(np.float32))


@pytest.mark.parametrize(
    ("element", "dtype"), [(i8, np.int8), (i16, np.int16), (i1, np.bool_), (tl.types.IntegerType(8), np.int8)]
)
def test_integers_widen(element, dtype):
    x = np.array([0, 1, 5, -3, 100], np.int64).astype(dtype)
    module = elementwise([element], f32, lambda b, x: b.mul(b.cast(x, f32), 0.5))
    assert np.array_equal(call(print_module(module), "main", [x]), x.astype(np.float32) * 0.5)


def test_where_of_literals_keeps_the_type():
    """Two literals in tl.where are f32 or i32 for Triton; the op says f16 and i64."""
    for element, dtype, low, high in ((f16, np.float16, -0.5, 2.0), (i64, np.int64, -1, 2**40)):
        module = elementwise(
            [element], element, lambda b, x, e=element, v=(high, low): b.where(b.gt(x, 0), *v, element=e)
        )
        x = np.array([1, -1, 3], dtype)
        assert np.array_equal(call(print_module(module), "main", [x]), np.where(x > 0, high, low).astype(dtype))


def test_division_by_python_rules_is_not_taken_for_tritons():
    """A loop counter is a Python int in the interpreter, and -7 // 2 is -3 for Triton."""

    def body(b: KernelBuilder, x):
        total = b.cast(b.cast(x, i32), i32)
        with b.range(-7, 0, 2, inits={"total": total}, name="i") as loop:
            part = b.add(b.floordiv(loop.index, 2), b.mul(b.mod(loop.index, 4), 100))
            b.yield_(total=b.add(loop.args.total, part))
        return loop.results.total

    x = np.zeros(3, np.int32)
    counters = np.array([-7, -5, -3, -1])
    expected = (np.trunc(counters / 2) + np.fmod(counters, 4) * 100).sum()
    out = call(print_module(elementwise([i32], i32, body)), "main", [x])
    assert np.array_equal(out, np.full(3, expected))


# Errors.


def test_wrong_arguments_are_named():
    source = print_module(flash_attention(f32, head=16))
    good, half = np.zeros((1, 2, 3, 16), np.float32), np.zeros((1, 2, 3, 16), np.float16)
    with pytest.raises(TypeError, match="k has dtype float16, but float32 is expected"):
        call(source, "main", [good, half, good])
    with pytest.raises(ValueError, match=r"v has shape \(1, 2, 3, 8\), but \(None, None, None, 16\)"):
        call(source, "main", [good, good, good[..., :8]])
    with pytest.raises(ValueError, match="the lengths of k and v: 3 and 2 differ"):
        call(source, "main", [good, good, good[:, :, :2]])
    with pytest.raises(TypeError, match="no function other"):
        call(source, "other", [good])


def test_arrays_and_tensors_do_not_mix():
    torch = pytest.importorskip("torch")
    x = np.zeros((1, 37), np.float32)
    with pytest.raises(TypeError, match="these are mixed"):
        call(print_module(row_softmax()), "main", [x, torch.zeros(1)])


def test_arrays_that_have_no_address_arithmetic():
    with pytest.raises(TypeError, match="native byte order"):
        NumpyTensor(np.zeros(3, ">f4"))
    packed = np.zeros(3, np.dtype([("a", "i1"), ("b", "f4")]))["b"]
    with pytest.raises(ValueError, match="no multiples of 4 bytes"):
        NumpyTensor(packed)


def test_without_triton_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from triton_kernels import row_softmax\n"
        "from flashlower.lowering.triton.printer import print_module\n"
        "from flashlower.lowering.triton.loading import load_source\n"
        "source = print_module(row_softmax())\n"
        "try: load_source(source, interpret=True)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install triton" in done.stdout


def test_numpy_needs_no_torch():
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch': raise ImportError('torch is imported')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import numpy as np\n"
        "from triton_kernels import row_softmax\n"
        "from flashlower.lowering.triton.printer import print_module\n"
        "from flashlower.lowering.triton.runtime import call\n"
        "print(call(print_module(row_softmax()), 'main', [np.zeros((1, 4), np.float32)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[[0.25 0.25 0.25 0.25]]\n"


# The compiler.


@pytest.mark.parametrize("element", [f16, bf16, f32])
def test_flash_attention_compiles_for_all_targets(element):
    module = flash_attention(element, head=64, block_n=64, causal=True, num_stages=2)
    compiled = compile_module_kernels(module)
    assert set(compiled) == {("flash_kernel", target) for target in TARGETS}
    for (_, target), kernel in compiled.items():
        assert ("amdgcn" if target.startswith("hip") else "ptx") in kernel.asm


def test_interpreter_and_compiler_in_one_process():
    """Each leaves Triton as it found it, whichever comes first; tl.max and tl.sum are kernels themselves."""
    module = row_softmax()
    source = print_module(module)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    first = call(source, "main", [x])
    ptx = compile_module_kernels(module, ["cuda:90"])["softmax_kernel", "cuda:90"].asm["ptx"]
    second = call(source, "main", [x])
    # Another kernel, so that Triton cannot take the compiled one from its cache.
    compile_module_kernels(row_softmax(128), ["cuda:90"])
    assert np.array_equal(first, second)
    assert "ex2.approx" in ptx


def test_interpreting_restores_the_language():
    """Nothing that was there is replaced, and no class has gained a method."""
    language = pytest.importorskip("triton.language")

    def state():
        tensor = language.tensor
        functions = {name: value for name, value in vars(language).items() if callable(value)}
        inner = {name: value for name, value in vars(language.core).items() if callable(value)}
        return functions, inner, dict(vars(tensor))

    before = state()
    call(print_module(row_softmax()), "main", [np.zeros((1, 4), np.float32)])
    after = state()
    for old, new in zip(before, after, strict=True):
        assert {name: new[name] for name in old} == old
    assert set(before[2]) == set(after[2])


def test_both_kinds_of_one_source():
    source = print_module(row_softmax())
    interpreted, compiled = (load_source(source, interpret=flag) for flag in (True, False))
    assert interpreted is load_source(source, interpret=True)
    assert type(interpreted.softmax_kernel) is not type(compiled.softmax_kernel)
    assert type(compiled.softmax_kernel).__name__ == "JITFunction"


@pytest.mark.parametrize(
    ("type", "text"),
    [(tl.PtrType(bf16), "*bf16"), (tl.PtrType(i1), "*u1"), (i64, "i64"), (f32, "fp32"), (tl.PtrType(i8), "*i8")],
)
def test_signature_types(type, text):
    assert signature_type(type) == text


def test_targets_are_checked():
    assert gpu_target("hip:gfx942").warp_size == 64
    for name in ("cuda", "cuda:sm90", "tpu:1", "hip:90"):
        with pytest.raises(ValueError, match="a target is like"):
            gpu_target(name)


# The cache.


def test_sources_are_files_named_by_their_content(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHLOWER_CACHE_DIR", str(tmp_path / "deep"))
    path = write_source("x = 1\n")
    assert path.parent == tmp_path / "deep" == cache_directory()
    assert path.read_text() == "x = 1\n" and path == write_source("x = 1\n")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    path.write_text("x = 2\n")
    assert write_source("x = 1\n").read_text() == "x = 1\n"


def test_processes_that_write_at_once_do_no_harm(tmp_path):
    """Each finds whole files only, and nothing but these is left."""
    code = (
        "import sys; from flashlower.lowering.source_cache import write_source\n"
        "text = lambda i: f'x = {i}\\n' * 20000\n"
        "for i in range(40): assert write_source(text(i)).read_text() == text(i)\n"
    )
    root = Path(flashlower.__file__).parents[1]
    environment = {**os.environ, "FLASHLOWER_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert len(list(tmp_path.iterdir())) == len(list(tmp_path.glob("*.py"))) == 40


def test_an_unwritable_cache_falls_back_to_a_temporary_directory(tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("FLASHLOWER_CACHE_DIR", str(blocker / "below"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _fallback_directory.cache_clear()
    path = write_source("y = 1\n")
    assert path.read_text() == "y = 1\n" and path.is_relative_to(tmp_path)
    _fallback_directory.cache_clear()


@pytest.mark.parametrize("name", ["print", "print_loops", "print_types"])
def test_the_kernels_of_the_filecheck_tests_compile(name):
    """What is printed there for its form is what Triton takes: types of literals and of carried values too."""
    text = (Path(__file__).parents[2] / "filecheck" / "lowering" / "triton" / f"{name}.mlir").read_text()
    context = Context()
    for dialect in (Arith, Builtin, Func, Launch, tl.TL):
        context.load_dialect(dialect)
    compiled = compile_module_kernels(Parser(context, text).parse_module(), ["cuda:90"])
    assert compiled


@pytest.mark.parametrize("seed", range(10))
def test_random_kernels_compile(seed):
    """Triton's compiler is stricter than its interpreter about what a loop or a branch assigns."""
    module = ModuleOp([random_kernel(random.Random(seed))])
    assert "ptx" in compile_module_kernels(module, ["cuda:90"])["random_kernel", "cuda:90"].asm
