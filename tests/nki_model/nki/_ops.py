"""The operators that instructions take: ALU operators and activation functions, in float32."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from nki._rules import fail
from nki._target import at_least, nc_version

Function = Callable[..., np.ndarray]
_erf = np.frompyfunc(math.erf, 1, 1)


class Op:
    """An operator of nki.language. Calling it is the experimental nl API that computes on tiles."""

    def __init__(self, name: str):
        self.__name__ = name
        self.alu: Function | None = None
        self.unary: Function | None = None
        self.bitvec: Function | None = None
        self.compares = False
        self.reduce: Callable[[np.ndarray], np.ndarray] | None = None
        self.identity = 0.0
        self.activation: Function | None = None
        self.range: tuple[float, float] | None = None
        self.newest = nc_version.gen2
        self.compute: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self.compute is None:
            fail("not-modelled", f"nl.{self.__name__} as a function")
        assert self.compute is not None
        return self.compute(*args, **options)

    def __repr__(self) -> str:
        return f"nl.{self.__name__}"


OPS: dict[str, Op] = {}


def _op(name: str) -> Op:
    return OPS.setdefault(name, Op(name))


def _truth(function: Function) -> Function:
    return lambda *args: function(*args).astype(np.float32)


def _row(ufunc: Any) -> Callable[[np.ndarray], np.ndarray]:
    def reduce(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return ufunc.reduce(values, axis=-1)

    return reduce


for _name in ("add", "subtract", "multiply", "maximum", "minimum", "power"):
    _op(_name).alu = getattr(np, _name)
for _name, _identity in (("add", 0.0), ("multiply", 1.0), ("maximum", -math.inf), ("minimum", math.inf)):
    _op(_name).reduce, _op(_name).identity = _row(getattr(np, _name)), _identity
for _name in ("equal", "not_equal", "greater_equal", "greater", "less_equal", "less"):
    _op(_name).alu, _op(_name).compares = _truth(getattr(np, _name)), True
for _name in ("logical_and", "logical_or", "logical_xor"):
    _op(_name).alu = _truth(getattr(np, _name))
    _op(_name).reduce = _row(getattr(np, _name))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"):
    _op(_name).bitvec = getattr(np, _name)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    _op(_name).reduce = _row(getattr(np, _name))
_op("abs_max").alu = lambda x, y: np.maximum(np.abs(x), np.abs(y))
_op("abs_min").alu = lambda x, y: np.minimum(np.abs(x), np.abs(y))
_op("invert").bitvec = lambda x, _: np.invert(x)
_op("abs").unary = np.abs
_op("square").unary = np.square
_op("relu").unary = lambda x: np.maximum(x, np.float32(0))
_op("rsqrt").unary = lambda x: 1 / np.sqrt(x)
_op("reciprocal").unary = lambda x: 1 / x
for _name in ("abs_max", "abs_min", "square", "relu"):
    _op(_name).newest = nc_version.gen4


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


_ACTIVATIONS: dict[str, Function] = {
    "copy": lambda x: x,
    "square": np.square,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(np.float32)),
    "gelu_apprx_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_apprx_sigmoid": lambda x: x * _sigmoid(1.702 * x),
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, np.float32(0))),
    "erf": lambda x: _erf(x).astype(np.float32),
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "arctan": np.arctan,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sign": np.sign,
    "abs": np.abs,
}
for _name, _function in _ACTIVATIONS.items():
    _op(_name).activation = _function
for _name, _range in {
    "sin": (-math.pi, math.pi),
    "arctan": (-math.pi / 2, math.pi / 2),
    "log": (2.0**-64, 2.0**64),
    "sqrt": (2.0**-116, 2.0**118),
    "rsqrt": (2.0**-87, 2.0**97),
    "reciprocal": (2.0**-42, 2.0**42),
}.items():
    _op(_name).range = _range
for _name in ("divide", "negative", "where", "cos", "tan", "floor", "ceil", "trunc", "fmod", "mod", "logical_not"):
    _op(_name)


def _known(op: Any, what: str) -> Op:
    if not isinstance(op, Op):
        fail("enum", f"{what} is {op!r}, not an operator of nki.language")
    at_least(op.newest if op.activation is None or op.alu is not None else nc_version.gen2, f"{op} in {what}")
    return op


def alu(op: Any, what: str) -> Op:
    """An ALU operator."""
    found = _known(op, what)
    if found.alu is None and found.unary is None and found.bitvec is None:
        fail("alu-op", f"{op} is not an ALU operator ({what})")
    return found


def apply(op: Op, left: np.ndarray, right: Any, reverse: bool = False) -> np.ndarray:
    """`left op right` in float32, or on the bits for a bitvec operator."""
    with np.errstate(all="ignore"):
        if op.bitvec is not None:
            return op.bitvec(right, left) if reverse else op.bitvec(left, right)
        if op.alu is None:
            assert op.unary is not None
            at_least(op.newest, repr(op))
            return op.unary(left)
        return op.alu(right, left) if reverse else op.alu(left, right)


def activate(op: Any, values: np.ndarray) -> np.ndarray:
    """An activation function; input outside of the documented range fails."""
    if not isinstance(op, Op):
        fail("enum", f"op of activation is {op!r}, not an operator of nki.language")
    if op.activation is None:
        fail("activation-op", f"{op} is not an activation function that the model knows")
    if op.range is not None:
        low, high = op.range
        tested = np.abs(values) if op.__name__ == "reciprocal" else values
        # The range ends are rounded to float32, as the data is.
        inside = (tested >= np.float32(low)) & (tested <= np.float32(high))
        if not inside.all():
            worst = tested[~inside].reshape(-1)[0]
            fail("activation-range", f"{op} of {worst}, its range is [{low}, {high}]")
    with np.errstate(all="ignore"):
        return op.activation(values).astype(np.float32)
