"""Hexadecimal floats in dense literals are the numbers whose bits they are, and print so that they read the same.

Nearly every softmax holds `dense<0xFF800000>`; read as 4.28e9, as xDSL 0.74 does, every mask would be wrong.
"""

import math
import struct

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, DenseIntOrFPElementsAttr
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError

from flashlower.dialects import dense_literals


def parse(text: str) -> DenseIntOrFPElementsAttr:
    context = Context()
    context.load_dialect(Builtin)
    dense_literals.install()
    attr = Parser(context, text).parse_attribute()
    assert isinstance(attr, DenseIntOrFPElementsAttr)
    return attr


@pytest.mark.parametrize(
    "text, expected",
    [
        ("dense<0xFF800000> : tensor<f32>", (-math.inf,)),
        ("dense<0x7F800000> : tensor<2xf32>", (math.inf, math.inf)),
        ("dense<[0.0, 0xFF800000]> : tensor<2xf32>", (0.0, -math.inf)),
        ("dense<[[0x3f800000], [2.5]]> : tensor<2x1xf32>", (1.0, 2.5)),
        ("dense<0xFF80> : tensor<bf16>", (-math.inf,)),
        ("dense<0x3F80> : tensor<bf16>", (1.0,)),
        ("dense<0xFC00> : tensor<f16>", (-math.inf,)),
        ("dense<0xFFF0000000000000> : tensor<f64>", (-math.inf,)),
        ("dense<0x38> : tensor<f8E4M3FN>", (1.0,)),
        ("dense<0xFF> : tensor<i32>", (255,)),
        ("dense<-0xF> : tensor<i32>", (-15,)),
        ("dense<[1, 0x10]> : tensor<2xindex>", (1, 16)),
        ("dense<1> : tensor<f32>", (1.0,)),
    ],
)
def test_value_and_round_trip(text: str, expected: tuple[float, ...]):
    attr = parse(text)
    assert attr.get_values() == expected
    assert parse(str(attr)) == attr


# A number of 24 bits that has no short decimal form is printed in hexadecimal, and must come back as itself.
def test_large_integral_float_round_trips():
    attr = parse("dense<123456789.0> : tensor<f32>")
    assert "0x" in str(attr)
    assert parse(str(attr)).get_values() == (123456792.0,)


@pytest.mark.parametrize(
    "type, bits",
    [("f32", 0x7FC00000), ("f32", 0xFFC00001), ("bf16", 0x7FC1), ("f16", 0x7E00), ("f64", 0x7FF8000000000001)],
)
def test_quiet_nans_keep_their_bits(type: str, bits: int):
    for literal in (f"dense<{bits:#x}> : tensor<{type}>", f"dense<[{bits:#x}, {bits:#x}]> : tensor<2x{type}>"):
        attr = parse(literal)
        size = attr.get_element_type().compile_time_size
        assert all(math.isnan(value) for value in attr.get_values())
        assert attr.data.data == bits.to_bytes(size, "little") * len(attr)
        assert parse(str(attr)) == attr


def test_signalling_nan_stays_nan():
    assert math.isnan(parse("dense<0x7F800001> : tensor<f32>").get_values()[0])


@pytest.mark.parametrize(
    "text, message",
    [
        ("dense<-0xFF> : tensor<f32>", "hexadecimal float literal should not have a leading minus"),
        ("dense<0x1FFFF> : tensor<f16>", "hexadecimal float literal 0x1FFFF is out of range for type f16"),
    ],
)
def test_errors(text: str, message: str):
    with pytest.raises(ParseError, match=message):
        parse(text)


def test_install_repairs_once_and_leaves_a_correct_parser_alone(monkeypatch: pytest.MonkeyPatch):
    element = dense_literals._ELEMENT

    def upstream(self: object, parser: object, type: object) -> float:
        # The defect: the integer that the digits spell.
        return float(self.value)  # type: ignore[attr-defined]

    monkeypatch.setattr(element, "to_type", upstream)
    assert not dense_literals.upstream_is_right()
    dense_literals.install()
    repaired = element.to_type
    assert repaired is not upstream
    assert dense_literals.upstream_is_right()
    dense_literals.install()
    assert element.to_type is repaired

    def correct(self: object, parser: object, type: object) -> float:
        return struct.unpack("<f", self.value.to_bytes(4, "little"))[0]  # type: ignore[attr-defined]

    monkeypatch.setattr(element, "to_type", correct)
    dense_literals.install()
    assert element.to_type is correct
