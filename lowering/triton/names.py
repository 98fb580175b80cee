"""
Names, comments and literals of emitted Python: nothing from a module reaches the text unchecked.

Emitted source is executed, so symbols must be identifiers or are refused, name hints are made into
identifiers, and comments are reduced to one line of printable characters.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

import numpy as np
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float16Type,
    Float32Type,
    Float64Type,
)
from xdsl.ir import Attribute
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.tl.types import bit_width, is_bool, is_integer, is_unsigned

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A fixed list, so that the text does not depend on the Python that prints it.
_BUILTINS = frozenset(
    """
    abs all any bool bytes callable chr dict dir divmod enumerate eval exec filter float format frozenset
    getattr hasattr hash help hex id input int isinstance iter len list locals map max min next object open
    ord pow print property range repr reversed round set setattr slice sorted str sum super tuple type vars
    zip TypeError ValueError
    """.split()  # noqa: SIM905 (forty quoted names say no more)
)

# Names that the emitted file, or Triton's interpreter in rewriting it, gives a meaning.
_MEANINGFUL = frozenset(
    ["tl", "triton", "torch", "empty", "_check", "_torch_empty", "interpreter_semantic", "match", "case"]
)

RESERVED = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | _BUILTINS | _MEANINGFUL
"""What no variable, kernel or function of an emitted file is called."""


def checked_symbol(name: str) -> str:
    """A symbol as the name of a Python function; raises DiagnosticException when it cannot be one."""
    if not _IDENTIFIER.fullmatch(name) or name in RESERVED or name.startswith("__"):
        raise DiagnosticException(
            f"the symbol {name!r} cannot name a Python function: rename it to an identifier that is free"
        )
    return name


def comment_lines(text: str) -> list[str]:
    """Text from a module as comment lines, without the `#`: printable characters only."""
    lines = ("".join(c if c.isprintable() else " " for c in line) for line in text.split("\n"))
    return [line.strip() for line in lines]


def one_line(text: str) -> str:
    """Text from a module as one line of printable characters."""
    return " ".join(" ".join(comment_lines(text)).split())


class Names:
    """Gives each value of one function its own identifier."""

    def __init__(self, taken: Iterable[str]):
        self._taken = set(RESERVED) | set(taken)

    def nested(self) -> Names:
        """Names for the inside of a block: what is given out there is free again behind it."""
        return Names(self._taken)

    def fresh(self, hint: str) -> str:
        """An identifier like `hint` that has not been given out; deterministic."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", hint) or "v"
        if base[0].isdigit() or base.startswith("__"):
            base = f"v_{base.lstrip('_')}"
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


_FLOAT_NAMES: dict[type[Attribute], tuple[str, str]] = {
    BFloat16Type: ("bfloat16", "bfloat16"),
    Float16Type: ("float16", "float16"),
    Float32Type: ("float32", "float32"),
    Float64Type: ("float64", "float64"),
    Float8E4M3FNType: ("float8e4nv", "float8_e4m3fn"),
    Float8E5M2Type: ("float8e5", "float8_e5m2"),
    Float8E4M3FNUZType: ("float8e4b8", "float8_e4m3fnuz"),
    Float8E5M2FNUZType: ("float8e5b16", "float8_e5m2fnuz"),
}


def triton_dtype(element: Attribute) -> str:
    """The dtype in kernels, such as `tl.float32`."""
    if is_bool(element):
        return "tl.int1"
    if is_integer(element):
        return f"tl.{'u' if is_unsigned(element) else ''}int{bit_width(element)}"
    return f"tl.{_FLOAT_NAMES[type(element)][0]}"


def tensor_dtype(element: Attribute) -> str | None:
    """The dtype name that torch and NumPy (with ml_dtypes) share, such as "bfloat16"; None without one."""
    if is_bool(element):
        return "bool"
    if is_integer(element):
        return f"{'u' if is_unsigned(element) else ''}int{bit_width(element)}"
    names = _FLOAT_NAMES.get(type(element))
    return None if names is None else names[1]


def literal(value: bool | int | float, element: Attribute) -> str:
    """A number as Python source, with as few digits as the element type needs."""
    if not isinstance(value, float):
        return repr(value)
    if value != value:
        return 'float("nan")'
    if value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    if isinstance(element, Float16Type):
        value = float(str(np.float16(value)))
    elif not isinstance(element, Float64Type):
        short = float(str(np.float32(value)))
        # The few digits of the largest f32 are above it, and Triton would take them for an f64.
        value = short if abs(short) <= float(np.finfo(np.float32).max) else float(np.float32(value))
    return repr(value).replace("e+", "e")
