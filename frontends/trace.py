"""
Score functions in Python: `score(s, b, h, m, n)` traced into the score region of `attention.sdpa`.

`s` is the scaled logit in natural units; `b`, `h`, `m`, `n` are the indices of batch, query head, query and key. The
function returns the new logit. It may use arithmetic, comparisons, `&`, `|`, `~`, `where`, `exp`, `tanh`, and read
captured tensors by indexing them (`slopes[h]`). It is called once, on symbols: Python's own `if`, `and` and `not`
cannot look at them.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, f32, i1
from xdsl.ir import BlockArgument, Region, SSAValue
from xdsl.transforms.canonicalization_patterns.utils import const_evaluate_operand

from flashlower.dialects.attention import YieldOp
from flashlower.dialects.attention.score import extract, score_block
from flashlower.frontends.symbols import Symbol, is_float, operand_of
from flashlower.frontends.tensors import Tensor, is_tensor

ScoreFunction = Callable[..., Any]

KEY = 4
"""The position of the index of the key among the arguments of a score function."""


class Trace:
    """One score function being traced: the tensors that it captures, and what it may know of the attention."""

    def __init__(self, sizes: Mapping[str, int], capture: Callable[[Tensor, str], SSAValue], kv_lens: SSAValue | None):
        """`sizes` has the keys b, hq, m and n; `capture` makes a tensor an argument of the attention function."""
        self.sizes = sizes
        self.capture = capture
        self.kv_lens = kv_lens

    def region(self, score: ScoreFunction) -> Region:
        """The score region of a function `score(s, b, h, m, n)`. Raises `TypeError` where it cannot be traced."""
        block = score_block(1, f32)
        token = _TRACE.set(self)
        try:
            with ImplicitBuilder(block):
                result = call_with_symbols(score, *(Symbol(arg) for arg in block.args))
                if not isinstance(result, Symbol) or not is_float(result.value):
                    got = result.value.type if isinstance(result, Symbol) else type(result).__name__
                    raise TypeError(f"a score function must return a logit, got {got}")
                YieldOp(result.value)
        finally:
            _TRACE.reset(token)
        return Region(block)

    def read(self, tensor: Tensor, name: str, indices: tuple[Any, ...]) -> Symbol:
        """
        An element of a captured tensor: a float, an index or a condition.

        Raises `TypeError` for what are no indices, and `ValueError` where one is known to leave the tensor.
        """
        if len(indices) != len(tensor.shape):
            raise TypeError(f"{name} has {len(tensor.shape)} dimensions, but is read with {len(indices)} indices")
        positions = [operand_of(i, IndexType()) for i in indices]
        for dim, position in enumerate(positions):
            if not isinstance(position.type, IndexType):
                raise TypeError(f"{name} is indexed by a value of type {position.type}, expected an index")
            self._check_inside(position, dim, tensor, name)
        return _symbol(extract(self.capture(tensor, name), positions, f32))

    def _check_inside(self, position: SSAValue, dim: int, tensor: Tensor, name: str) -> None:
        size = int(tensor.shape[dim])
        if isinstance(position, BlockArgument):
            if position.index == KEY and self.kv_lens is not None:
                # Keys beyond a length are not read.
                return
            count = list(self.sizes.values())[position.index - 1]
            inside, where = count <= size, f"an index up to {count - 1}"
        elif (number := const_evaluate_operand(position)) is not None:
            inside, where = 0 <= number < size, str(number)
        else:
            return
        if not inside:
            raise ValueError(f"dimension {dim} of {name} has size {size}, but is read at {where}")

    def last_key(self, b: Symbol) -> Symbol | int:
        """The position of the last query: the last existing key of its sequence, less the queries after it."""
        if self.kv_lens is None:
            return self.sizes["n"] - self.sizes["m"]
        length = _symbol(extract(self.kv_lens, [b.value], f32))
        return length + -self.sizes["m"]


_TRACE: ContextVar[Trace] = ContextVar("trace")


def current_trace() -> Trace:
    trace = _TRACE.get(None)
    if trace is None:
        raise TypeError("score functions only compute inside flashlower.attention(..., score=...)")
    return trace


def _symbol(value: SSAValue) -> Symbol:
    """An element of a tensor as a symbol; integers are indices."""
    if not is_float(value) and value.type != i1:
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
        return current_trace().read(self.tensor, self.name, each)


def captured(tensor: Tensor | Captured) -> Captured:
    """
    Makes a tensor indexable by the symbols of a score function.

    Needed only where the function does not refer to the tensor by a name of its own (an attribute, a list element).
    """
    # A tensor that the function does refer to by name has become one already.
    return tensor if isinstance(tensor, Captured) else Captured(tensor)


def call_with_symbols(score: ScoreFunction, *args: Symbol) -> Any:
    """
    Calls a score function with every tensor that it refers to (by closure or global) made indexable by symbols:
    NumPy and PyTorch insist on numbers as indices.
    """
    if not callable(score):
        raise TypeError(f"score is a {type(score).__name__}, expected a function score(s, b, h, m, n)")
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
