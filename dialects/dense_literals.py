"""A repair of xDSL: hexadecimal floats in dense literals.

MLIR prints floats that have no decimal form as the hexadecimal of their bits: `dense<0xFF800000> : tensor<f32>`
is -inf. xDSL 0.74 reads that as the number 4286578688, though the scalar form `0xFF800000 : f32` and the string
form `dense<"0x...">` are right. Nearly every softmax holds such a literal. This file can be deleted, with its
callers, once xDSL reads them itself; until then `install` checks first and leaves a correct xDSL alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, Builtin, DenseIntOrFPElementsAttr
from xdsl.ir import Attribute
from xdsl.parser import AttrParser, Parser

# Where upstream turns an element of a literal into a value of the tensor's element type.
_ELEMENT: Any = AttrParser._TensorLiteralElement  # pyright: ignore[reportPrivateUsage]


def upstream_is_right() -> bool:
    """Whether the parser, as it is now, reads the bits of -inf as -inf."""
    context = Context()
    context.load_dialect(Builtin)
    attr = Parser(context, "dense<0xFF800000> : tensor<f32>").parse_attribute()
    assert isinstance(attr, DenseIntOrFPElementsAttr)
    return attr.get_values() == (-math.inf,)


def install() -> None:
    """Repair the parser of this process, unless it needs no repair (any more)."""
    if not upstream_is_right():
        _ELEMENT.to_type = _repaired(_ELEMENT.to_type)


def _repaired(upstream: Callable[[Any, AttrParser, Attribute], Any]) -> Callable[[Any, AttrParser, Attribute], Any]:
    def to_type(self: Any, parser: AttrParser, type: Attribute) -> Any:
        # The literal's own text tells the bits of a float from an integer: both were parsed to an int by now.
        text: str = self.span.text
        if not isinstance(type, AnyFloat) or not text.lstrip("-").lower().startswith("0x"):
            return upstream(self, parser, type)
        if text.startswith("-"):
            parser.raise_error("hexadecimal float literal should not have a leading minus", self.span)
        try:
            bits = int(text, 16).to_bytes(type.compile_time_size, "little")
        except OverflowError:
            parser.raise_error(f"hexadecimal float literal {text} is out of range for type {type}", self.span)
        return type.unpack(bits, 1)[0]

    return to_type
