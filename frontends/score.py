"""
Score functions in Python: `score(s, b, h, m, n)` traced into the score region of `attention.sdpa`.

`s` is the scaled logit in natural units; `b`, `h`, `m`, `n` are the indices of batch, query head, query and key. The
function returns the new logit. It may use arithmetic, comparisons, `&`, `|`, `~`, `where`, `exp`, `tanh`, and read
captured tensors by indexing them (`slopes[h]`). It is called once, on symbols: Python's own `if`, `and` and `not`
cannot look at them.
"""

from __future__ import annotations

import inspect
import math
import operator
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IndexType, IntegerAttr, f32, i1, i64
from xdsl.ir import Attribute, Region, SSAValue

from flashlower.dialects.attention import YieldOp
from flashlower.dialects.attention import score as forms
from flashlower.frontends.tensors import Tensor, is_tensor

ScoreFunction = Callable[..., Any]

FLOAT_OPS = {"add": arith.AddfOp, "sub": arith.SubfOp, "mul": arith.MulfOp, "div": arith.DivfOp}
INT_OPS = {"add": arith.AddiOp, "sub": arith.SubiOp, "mul": arith.MuliOp, "floordiv": arith.FloorDivSIOp}
BOOL_OPS = {"and": arith.AndIOp, "or": arith.OrIOp, "xor": arith.XOrIOp}


class Symbol:
    """A value of a score function: a logit (float), an index (integer) or a condition."""

    def __init__(self, value: SSAValue):
        self.value = value

    def __bool__(self) -> bool:
        raise TypeError(
            "a score function is traced: use flashlower.where(condition, a, b) instead of `if`, "
            "and &, |, ~ instead of `and`, `or`, `not`"
        )

    def __index__(self) -> int:
        raise TypeError(
            "an index of a score function has no number while it is traced; wrap the tensor that it should index in "
            "flashlower.captured(tensor)"
        )

    def __add__(self, other: Any) -> Symbol:
        return _arithmetic("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return _arithmetic("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return _arithmetic("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return _arithmetic("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return _arithmetic("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return _arithmetic("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return _arithmetic("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return _arithmetic("div", other, self)

    def __floordiv__(self, other: Any) -> Symbol:
        return _arithmetic("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Symbol:
        return _arithmetic("floordiv", other, self)

    def __mod__(self, other: Any) -> Symbol:
        # arith.remsi takes the sign of the dividend, Python's % that of the divisor.
        return self - self // other * other

    def __rmod__(self, other: Any) -> Symbol:
        return other - other // self * self

    def __neg__(self) -> Symbol:
        return 0 - self

    def __lt__(self, other: Any) -> Symbol:
        return _compare("lt", self, other)

    def __le__(self, other: Any) -> Symbol:
        return _compare("le", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return _compare("gt", self, other)

    def __ge__(self, other: Any) -> Symbol:
        return _compare("ge", self, other)

    # Comparisons give symbols, as NumPy's give arrays; that is not what `object` promises of == and !=.
    def __eq__(self, other: Any) -> Symbol:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _compare("eq", self, other)

    def __ne__(self, other: Any) -> Symbol:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _compare("ne", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Symbol:
        return _logical("and", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Symbol:
        return _logical("or", self, other)

    __ror__ = __or__

    def __invert__(self) -> Symbol:
        return _logical("xor", self, True)


def _is_float(value: SSAValue) -> bool:
    return isinstance(value.type, AnyFloat)


def _operand(value: Any, like: Attribute) -> SSAValue:
    """A symbol's value, or a number as a constant of the type `like` (a float constant where the number is one)."""
    if isinstance(value, Symbol):
        return value.value
    if isinstance(value, bool):
        return arith.ConstantOp(IntegerAttr(int(value), i1)).result
    if isinstance(value, int) and not isinstance(like, AnyFloat):
        return forms.constant_index(value)
    if isinstance(value, int | float):
        return arith.ConstantOp(FloatAttr(float(value), like if isinstance(like, AnyFloat) else f32)).result
    raise TypeError(
        f"a score function computes with {type(value).__name__}, which it cannot; "
        "capture tensors with flashlower.captured(tensor) and index them"
    )


def _operands(lhs: Any, rhs: Any) -> tuple[SSAValue, SSAValue]:
    """Both operands in one type: integers become floats beside floats."""
    like = next(x.value.type for x in (lhs, rhs) if isinstance(x, Symbol))
    left, right = _operand(lhs, like), _operand(rhs, like)
    if left.type != right.type:
        left, right = _as_float(left), _as_float(right)
    return left, right


def _as_float(value: SSAValue) -> SSAValue:
    if _is_float(value):
        return value
    if value.type == i1:
        return arith.UIToFPOp(value, f32).result
    return arith.SIToFPOp(arith.IndexCastOp(value, i64).result, f32).result


def _arithmetic(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = _operands(lhs, rhs)
    if name == "div" or i1 in (left.type, right.type):
        left, right = _as_float(left), _as_float(right)
    ops = FLOAT_OPS if _is_float(left) else INT_OPS
    if name not in ops:
        raise TypeError(f"a score function has no {name} of {left.type}")
    return Symbol(ops[name](left, right).results[0])


def _compare(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = _operands(lhs, rhs)
    if _is_float(left):
        return Symbol(arith.CmpfOp(left, right, "une" if name == "ne" else "o" + name).result)
    return Symbol(arith.CmpiOp(left, right, name if name in ("eq", "ne") else "s" + name).result)


def _logical(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = _operand(lhs, i1), _operand(rhs, i1)
    if left.type != i1 or right.type != i1:
        raise TypeError(f"&, | and ~ of a score function take conditions, got {left.type} and {right.type}")
    return Symbol(BOOL_OPS[name](left, right).results[0])


def where(condition: Any, then: Any, otherwise: Any) -> Symbol:
    """In a score function: `then` where the condition holds, else `otherwise`."""
    chosen = _logical("and", condition, True) if isinstance(condition, bool) else condition
    symbols = [x for x in (then, otherwise) if isinstance(x, Symbol)]
    if not isinstance(chosen, Symbol) or chosen.value.type != i1:
        raise TypeError("the first argument of flashlower.where must be a condition of a score function")
    if symbols:
        left, right = _operands(then, otherwise)
    else:
        left, right = _operand(float(then), f32), _operand(float(otherwise), f32)
    return Symbol(arith.SelectOp(chosen.value, left, right).result)


def exp(x: Symbol) -> Symbol:
    """In a score function: e to the power of x."""
    return Symbol(math_dialect.ExpOp(_as_float(x.value)).result)


def tanh(x: Symbol) -> Symbol:
    """In a score function: the hyperbolic tangent."""
    return Symbol(math_dialect.TanhOp(_as_float(x.value)).result)


class Trace:
    """One score function being traced: the tensors that it captures, and what it may know of the attention."""

    def __init__(self, sizes: Mapping[str, int], capture: Callable[[Tensor, str], SSAValue], kv_lens: SSAValue | None):
        """`sizes` has the keys b, hq, m and n; `capture` makes a tensor an argument of the attention function."""
        self.sizes = sizes
        self.capture = capture
        self.kv_lens = kv_lens

    def region(self, score: ScoreFunction) -> Region:
        """The score region of a function `score(s, b, h, m, n)`. Raises `TypeError` where it cannot be traced."""
        block = forms.score_block(1, f32)
        token = _TRACE.set(self)
        try:
            with ImplicitBuilder(block):
                result = _call(score, *(Symbol(arg) for arg in block.args))
                if not isinstance(result, Symbol) or not _is_float(result.value):
                    raise TypeError(f"a score function must return a logit, got {type(result).__name__}")
                YieldOp(result.value)
        finally:
            _TRACE.reset(token)
        return Region(block)

    def read(self, tensor: Tensor, name: str, indices: tuple[Any, ...]) -> Symbol:
        """An element of a captured tensor: a float, an index or a condition."""
        if len(indices) != len(tensor.shape):
            raise TypeError(f"{name} has {len(tensor.shape)} dimensions, but is read with {len(indices)} indices")
        positions = [_operand(i, IndexType()) for i in indices]
        for position in positions:
            if not isinstance(position.type, IndexType):
                raise TypeError(f"{name} is indexed by a value of type {position.type}, expected an index")
        return _symbol(forms.extract(self.capture(tensor, name), positions, f32))

    def last_key(self, b: Symbol) -> Symbol | int:
        """The position of the last query: the last existing key of its sequence, less the queries after it."""
        if self.kv_lens is None:
            return self.sizes["n"] - self.sizes["m"]
        length = _symbol(forms.extract(self.kv_lens, [b.value], f32))
        return length + -self.sizes["m"]


_TRACE: ContextVar[Trace] = ContextVar("trace")


def _trace() -> Trace:
    trace = _TRACE.get(None)
    if trace is None:
        raise TypeError("score functions only compute inside flashlower.attention(..., score=...)")
    return trace


def _symbol(value: SSAValue) -> Symbol:
    """An element of a tensor as a symbol; integers are indices."""
    if not _is_float(value) and value.type != i1:
        value = arith.IndexCastOp(value, IndexType()).result
    return Symbol(value)


class Captured:
    """A tensor that a score function may index with its symbols; `flashlower.captured(tensor)` makes one."""

    def __init__(self, tensor: Tensor, name: str = "captured"):
        if not is_tensor(tensor):
            raise TypeError(f"flashlower.captured takes a tensor, got {type(tensor).__name__}")
        self.tensor = tensor
        self.name = name

    def __getitem__(self, indices: Any) -> Symbol:
        each: tuple[Any, ...] = cast(tuple[Any, ...], indices) if isinstance(indices, tuple) else (indices,)
        return _trace().read(self.tensor, self.name, each)


def captured(tensor: Tensor | Captured) -> Captured:
    """
    Makes a tensor indexable by the symbols of a score function.

    Needed only where the function does not refer to the tensor by a name of its own (an attribute, a list element).
    """
    # A tensor that the function does refer to by name has become one already.
    return tensor if isinstance(tensor, Captured) else Captured(tensor)


def _call(score: ScoreFunction, *args: Symbol) -> Any:
    """
    Calls a score function with every tensor that it refers to (by closure or global) made indexable by symbols:
    NumPy and PyTorch insist on numbers as indices.
    """
    if not isinstance(score, types.FunctionType):
        return score(*args)
    names = inspect.getclosurevars(score)
    tensors = {k: Captured(v, k) for k, v in (*names.globals.items(), *names.nonlocals.items()) if is_tensor(v)}
    if not tensors:
        return score(*args)
    cells = tuple(
        types.CellType(tensors[name]) if name in tensors else cell
        for name, cell in zip(score.__code__.co_freevars, score.__closure__ or ())
    )
    function = types.FunctionType(
        score.__code__, {**score.__globals__, **tensors}, score.__name__, score.__defaults__, cells
    )
    function.__kwdefaults__ = score.__kwdefaults__
    return function(*args)


# Ready-made score functions


class ReadyMade:
    """A score function of ours: it captures tensors by itself, and is what its name and its parts say."""

    def __init__(self, score: ScoreFunction, name: str, *parts: Any):
        self._score = score
        self.name = name
        self.parts = parts

    def __call__(self, *args: Symbol) -> Any:
        return self._score(*args)


def causal(offset: int | None = None) -> ScoreFunction:
    """
    Keeps keys up to the query's position, n <= m + offset.

    None: the last query sees the last existing key (decoding); 0: query and key positions count alike (top-left).
    """
    offset = _whole(offset)

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return where(n <= _position(m, b, offset), s, -math.inf)

    return ReadyMade(score, "causal", offset)


def window(left: int, right: int, offset: int | None = None) -> ScoreFunction:
    """
    Keeps keys from position - left to position + right, both included.

    A query's position is m + offset, as in `causal`.
    """
    left, right, offset = operator.index(left), operator.index(right), _whole(offset)

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        if offset is None and _trace().kv_lens is not None:
            position = _position(m, b, None)
            return where((n >= _plus(position, -left)) & (n <= _plus(position, right)), s, -math.inf)
        start = _trace().last_key(b) if offset is None else offset
        assert isinstance(start, int)
        return where((n >= _plus(m, start - left)) & (n <= _plus(m, start + right)), s, -math.inf)

    return ReadyMade(score, "window", left, right, offset)


def soft_cap(cap: float) -> ScoreFunction:
    """cap * tanh(s / cap): keeps logits within (-cap, cap)."""
    cap = float(cap)
    if not cap > 0 or math.isinf(cap):
        raise ValueError(f"a soft cap must be positive and finite, got {cap}")

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return Symbol(forms.SoftCap(FloatAttr(cap, f32)).build(s.value, {}))

    return ReadyMade(score, "soft_cap", cap)


def alibi(slopes: Tensor) -> ScoreFunction:
    """Adds slopes[h] * (n - position), with positions as in `causal()`; slopes has shape [Hq] (Press et al., 2022)."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        slope = Captured(slopes, "slopes")[h]
        return s + slope * (n - _position(m, b, None))

    return ReadyMade(score, "alibi", slopes)


def bias(tensor: Tensor) -> ScoreFunction:
    """Adds a float tensor that broadcasts to [B, Hq, M, N]."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return s + _broadcast(tensor, "bias", b, h, m, n)

    return ReadyMade(score, "bias", tensor)


def mask(tensor: Tensor) -> ScoreFunction:
    """Keeps keys where a bool tensor that broadcasts to [B, Hq, M, N] is true."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return where(_broadcast(tensor, "mask", b, h, m, n), s, -math.inf)

    return ReadyMade(score, "mask", tensor)


def chain(*scores: ScoreFunction) -> ScoreFunction:
    """Applies score functions from left to right."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        for function in scores:
            s = _call(function, s, b, h, m, n)
        return s

    return ReadyMade(score, "chain", *scores)


def _whole(offset: int | None) -> int | None:
    return None if offset is None else operator.index(offset)


def _plus(x: Symbol, constant: int) -> Symbol:
    return x + constant if constant else x


def _position(m: Symbol, b: Symbol, offset: int | None) -> Symbol:
    start = _trace().last_key(b) if offset is None else offset
    return _plus(m, start) if isinstance(start, int) else m + start


def _broadcast(tensor: Tensor, name: str, *indices: Symbol) -> Symbol:
    """The element of a tensor that broadcasts to [B, Hq, M, N] as NumPy broadcasts."""
    full = list(_trace().sizes.values())
    shape = [int(size) for size in tensor.shape]
    if len(shape) > 4 or any(size not in (1, full_size) for size, full_size in zip(shape[::-1], full[::-1])):
        raise ValueError(f"{name} has shape {shape}, which does not broadcast to [B, Hq, M, N] = {full}")
    own = indices[4 - len(shape) :]
    return _trace().read(tensor, name, tuple(0 if size == 1 else i for size, i in zip(shape, own)))
