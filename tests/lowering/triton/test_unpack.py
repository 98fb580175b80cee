"""
Codes out of words: both forms give, for every code in every lane, what NumPy and ml_dtypes say.

Locked in: the meaning of `tl.inline_asm_elementwise unpack` in Triton's interpreter, the plain form that needs no
assembly, the rounding of scaled values (once, from the exact product), that text which is not ours is refused, and,
where there is a GPU, that the assembly computes the same.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import Float8E4M3FNType as E4M3
from xdsl.dialects.builtin import Float8E5M2Type as E5M2
from xdsl.dialects.builtin import IntegerType, ModuleOp, Signedness, bf16, f16, i8, i32
from xdsl.ir import Attribute

from flashlower.dialects.attention.quantization import CODES, QuantizationAttr
from flashlower.dialects.tl import PtrType, UnpackAttr
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.numpy_tensor import NumpyTensor
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.ptx import Unpacking
from flashlower.lowering.triton.runtime import load_source
from flashlower.lowering.triton.unpack import assembly, unpack

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

U4, I4, U8, I8 = (IntegerType(n, s) for n in (4, 8) for s in (Signedness.UNSIGNED, Signedness.SIGNED))
PIECES = [
    UnpackAttr(U4),
    UnpackAttr(U4, 7),
    UnpackAttr(U4, 8),
    UnpackAttr(U4, 15),
    UnpackAttr(I4),
    UnpackAttr(I4, -3),
    UnpackAttr(U8),
    UnpackAttr(U8, 128),
    UnpackAttr(U8, 77),
    UnpackAttr(I8),
    UnpackAttr(I8, 5),
    UnpackAttr(I8, 127),
    UnpackAttr(E4M3()),
    UnpackAttr(E5M2()),
]
DTYPES: dict[Attribute, Any] = {bf16: ml_dtypes.bfloat16, f16: np.float16}
BLOCK = 1024


def gpu() -> Any:
    """torch, where it finds a GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None


def all_words() -> np.ndarray:
    """Words in which every lane has every code, and each code every neighbour: 4096 of them."""
    rng = np.random.default_rng(0)
    count = np.arange(1 << 8, dtype=np.uint32)
    words = [count * np.uint32(0x01010101), *(count << np.uint32(8 * lane) for lane in range(4))]
    rest = rng.integers(0, 1 << 32, 4096 - 5 * 256, dtype=np.uint32)
    return np.concatenate([*words, rest]).view(np.int32)


def expected(piece: UnpackAttr, words: np.ndarray) -> list[np.ndarray]:
    """The lanes minus the zero point, by the bytes of the words."""
    raw = words.view(np.uint8).reshape(-1, 4)
    if piece.bits == 8:
        type = {E4M3(): ml_dtypes.float8_e4m3fn, E5M2(): ml_dtypes.float8_e5m2, I8: np.int8, U8: np.uint8}[piece.code]
        return [raw[:, lane].copy().view(type).astype(np.float64) - piece.zero.data for lane in range(4)]
    nibbles = np.stack([raw & 15, raw >> 4], -1).reshape(-1, 8).astype(np.float64)
    if piece.code == I4:
        nibbles = np.where(nibbles > 7, nibbles - 16, nibbles)
    return [nibbles[:, lane] - piece.zero.data for lane in range(8)]


def source(piece: UnpackAttr, element: Attribute, scale: Attribute | None, use_assembly: bool) -> str:
    """A kernel that writes all lanes of its words, one after the other."""
    args: dict[str, Attribute] = {"w_ptr": PtrType(i32), "s_ptr": PtrType(scale or bf16), "o_ptr": PtrType(element)}
    b = KernelBuilder("unpack", args)
    w_ptr, s_ptr, o_ptr = b.args
    offs = b.add(b.mul(b.program_id(0), BLOCK), b.arange(0, BLOCK), name="offs")
    words = b.load(b.add(w_ptr, offs), name="words")
    scales = None if scale is None else b.load(b.add(s_ptr, offs), name="scales")
    if use_assembly:
        lanes = b.unpack(words, piece, element, scales, name="x")
    else:
        name = next(name for name, code in CODES.items() if code == piece.code)
        lanes = unpack(b, words, QuantizationAttr(name, piece.zero.data), element)
    for lane, value in enumerate(lanes):
        b.store(b.add(o_ptr, b.add(offs, 4096 * lane)), value)
    return print_module(ModuleOp([b.finish()]))


def run(text: str, words: np.ndarray, scales: np.ndarray, lanes: int, element: Attribute) -> np.ndarray:
    grid = (4096 // BLOCK,)
    torch = gpu()
    if torch is None:
        out = np.zeros(lanes * 4096, DTYPES[element])
        load_source(text, interpret=True).unpack[grid](NumpyTensor(words), NumpyTensor(scales), NumpyTensor(out))
    else:
        types = {np.float16: torch.float16, ml_dtypes.bfloat16: torch.bfloat16}
        given = torch.from_numpy(scales.view(np.int16)).cuda().view(types[scales.dtype.type])
        result = torch.zeros(lanes * 4096, dtype=types[DTYPES[element]], device="cuda")
        load_source(text, interpret=False).unpack[grid](torch.from_numpy(words).cuda(), given, result)
        out = result.float().cpu().numpy()
    return out.astype(np.float64).reshape(lanes, 4096)


@pytest.mark.parametrize("use_assembly", [True, False], ids=["assembly", "plain"])
@pytest.mark.parametrize("element", [bf16, f16], ids=str)
@pytest.mark.parametrize("piece", PIECES, ids=str)
def test_every_code(piece: UnpackAttr, element: Attribute, use_assembly: bool):
    text = source(piece, element, None, use_assembly)
    assert ("asm" in text) == use_assembly
    words = all_words()
    want = np.stack(expected(piece, words))
    found = run(text, words, np.ones(4096, ml_dtypes.bfloat16), piece.lanes, element)
    np.testing.assert_array_equal(found, want.astype(DTYPES[element]).astype(np.float64))


@pytest.mark.parametrize("element", [bf16, f16], ids=str)
@pytest.mark.parametrize("piece", [UnpackAttr(U4, 7), UnpackAttr(I8), UnpackAttr(E4M3())], ids=str)
def test_scaled_values_are_rounded_once(piece: UnpackAttr, element: Attribute):
    words = all_words()
    scales = np.random.default_rng(1).normal(size=4096).astype(DTYPES[element])
    # The products are exact in float64.
    want = (np.stack(expected(piece, words)) * scales.astype(np.float64)).astype(DTYPES[element]).astype(np.float64)
    found = run(source(piece, element, element, True), words, scales, piece.lanes, element)
    np.testing.assert_array_equal(found, want)


def test_what_has_no_exact_assembly_is_plain():
    codes = QuantizationAttr("u8", 0)
    assert assembly(i32, codes, bf16) == UnpackAttr(U8)
    assert assembly(i8, codes, bf16) is None
    b = KernelBuilder("unpack", {"w_ptr": PtrType(i32)})
    words = b.load(b.add(b.arg("w_ptr"), b.arange(0, 16)))
    with pytest.raises(TypeError, match="codes of type ui8 minus -2 are not exact in bf16"):
        b.unpack(words, UnpackAttr(U8, -2), bf16, name="x")


def test_text_names_itself_and_no_other_text_passes():
    for piece in PIECES[:2]:
        found = Unpacking(piece, bf16, scaled=True)
        assert Unpacking.parse(found.text()) == found
        assert Unpacking.parse(found.text().replace("0x000f000f", "0x00070007")) is None
    assert Unpacking.parse("mov.b32 $0, $1;") is None
