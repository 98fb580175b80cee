"""
What a score function is, by value: the same key means that tracing it gives the same IR.

A function is its code, and the values of all that the code reads: variables of closures, globals, defaults, attributes
of modules and plain objects. Numbers count by value, functions by what they are in turn, and tensors that can only be
indexed by shape and dtype: they are arguments of the kernel. Where the code reads something else (a dictionary, a
property, a tensor whose contents it could look at), there is no key, and the function is traced anew for each call.
"""

# Any value may be asked for its key; NumPy's and Python's generic classes have no parameters here.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import dis
import functools
import math
import operator
import types
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from flashlower.frontends.score import ReadyMade
from flashlower.frontends.tensors import Tensor, is_tensor
from flashlower.frontends.trace import Captured, ScoreFunction

PURE_BUILTINS = frozenset(
    (abs, all, any, bool, divmod, enumerate, float, int, isinstance, len, list, map, max, min, pow, range)
) | {reversed, round, sorted, sum, tuple, zip}
"""Builtins that depend on their arguments alone."""

PURE_MODULES = (math.__name__, operator.__name__, "_operator")
"""Modules whose functions do."""

FOREIGN = ("IMPORT", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_CLASS", "LOAD_FROM_DICT", "LOAD_LOCALS")
"""Instructions, by how they begin, of code that changes what is outside of it, or finds it by other ways."""

OWN_PACKAGE = __name__.partition(".")[0]

Path = tuple[str, ...]
"""A variable and the attributes that are read of it: `("config", "window")`."""


class _NoKeyError(Exception):
    """The function reads something that may change unseen."""


def score_key(score: ScoreFunction | None) -> tuple[Hashable, list[Tensor]] | None:
    """
    The key of a score function and the tensors that it reads, in the order of the key; None where it has no key.

    The key holds no tensor, and no function of the caller's but its code.
    """
    if score is None:
        return None, []
    keys = _Keys()
    try:
        return keys.of_score(score), keys.tensors
    except _NoKeyError:
        return None


class _Keys:
    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._functions: dict[int, int] = {}

    def of_score(self, score: Any) -> Hashable:
        """The key of a score function that is traced with its tensors made indexable, and nothing else."""
        if isinstance(score, types.FunctionType):
            return self._function(score, traced=True)
        if isinstance(score, ReadyMade):
            return (score.name, *[self._part(part) for part in score.parts])
        return self._of(score)

    def _part(self, part: Any) -> Hashable:
        is_read = is_tensor(part) and not isinstance(part, np.generic)
        return self._tensor(part) if is_read else self.of_score(part)

    def _of(self, value: Any) -> Hashable:
        """The key of a value. Raises `_NoKeyError` where it has none."""
        kind: Any = type(value)
        if value is None or kind in (bool, int, str):
            return kind, value
        if kind is float or isinstance(value, np.generic):
            # Signed zeros differ, NaN is itself.
            return kind, repr(value)
        if kind in (tuple, list):
            return (kind, *[self._of(x) for x in value])
        if isinstance(value, ReadyMade):
            return self.of_score(value)
        if isinstance(value, Captured):
            return Captured, value.name, self._tensor(value.tensor)
        if isinstance(value, types.FunctionType):
            return self._function(value, traced=False)
        if kind is functools.partial:
            keywords = [(name, self._of(v)) for name, v in sorted(value.keywords.items())]
            return (kind, self._of(value.func), self._of(value.args), *keywords)
        if isinstance(value, types.BuiltinFunctionType | type):
            return self._builtin(value)
        raise _NoKeyError

    @staticmethod
    def _builtin(value: Any) -> Hashable:
        is_number = isinstance(value, type) and issubclass(value, np.generic)
        if value in PURE_BUILTINS or value.__module__ in PURE_MODULES or is_number:
            return value
        raise _NoKeyError

    def _tensor(self, tensor: Tensor) -> Hashable:
        # One tensor that is read twice is one argument of the kernel.
        for index, known in enumerate(self.tensors):
            if known is tensor:
                return "tensor", index
        self.tensors.append(tensor)
        return "tensor", tuple(tensor.shape), tensor.dtype

    def _function(self, function: types.FunctionType, *, traced: bool) -> Hashable:
        if (function.__module__ or "").partition(".")[0] == OWN_PACKAGE:
            return function
        if (number := self._functions.get(id(function))) is not None:
            return "function", number
        self._functions[id(function)] = len(self._functions)
        paths = _paths(function.__code__)
        if paths is None:
            raise _NoKeyError
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        keys: list[Hashable] = []
        for path in paths:
            value = _resolve(path, cells, function)
            is_read = traced and len(path) == 1 and is_tensor(value) and not isinstance(value, np.generic)
            keys.append(self._tensor(value) if is_read else self._of(value))
        keywords = [(name, self._of(v)) for name, v in sorted((function.__kwdefaults__ or {}).items())]
        return (function.__code__, traced, self._of(function.__defaults__), *keywords, *keys)


def _resolve(path: Path, cells: dict[str, types.CellType], function: types.FunctionType) -> Any:
    """What a path of a function leads to. Raises `_NoKeyError` where nothing is there, or something computes it."""
    head, *attributes = path
    try:
        if head in cells:
            value = cells[head].cell_contents
        elif head in function.__globals__:
            value = function.__globals__[head]
        else:
            value = function.__builtins__[head]
    except (KeyError, ValueError):
        raise _NoKeyError from None
    for attribute in attributes:
        if isinstance(value, types.ModuleType):
            value = getattr(value, attribute, None)
        elif _is_plain(value, attribute):
            value = vars(value)[attribute]
        else:
            raise _NoKeyError
    return value


def _is_plain(value: Any, attribute: str) -> bool:
    """Whether an attribute is an entry of the object's own dictionary and nothing computes it."""
    kind: Any = type(value)
    return (
        kind.__getattribute__ in (object.__getattribute__, types.SimpleNamespace.__getattribute__)
        and not isinstance(value, type | types.FunctionType | Captured | ReadyMade)
        and attribute in getattr(value, "__dict__", {})
        and not hasattr(getattr(kind, attribute, None), "__get__")
    )


@functools.lru_cache(maxsize=1024)
def _paths(code: types.CodeType) -> tuple[Path, ...] | None:
    """What code reads from outside, the code inside of it included; None where it imports or assigns there."""
    found: dict[Path, None] = {}
    local = set(code.co_cellvars)
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("EXTENDED_ARG", "PUSH_NULL")]
    for position, instruction in enumerate(instructions):
        name = instruction.opname
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            if instruction.argval not in local:
                found[(instruction.argval, *_attributes(instructions[position + 1 :]))] = None
        elif name.startswith(FOREIGN) or (name in ("STORE_DEREF", "DELETE_DEREF") and instruction.argval not in local):
            return None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _paths(constant)
            if inner is None:
                return None
            found |= {path: None for path in inner if path[0] not in local}
    return tuple(found)


def _attributes(instructions: Sequence[dis.Instruction]) -> list[str]:
    """The attributes that are read of what was just loaded."""
    names: list[str] = []
    for instruction in instructions:
        if instruction.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        names.append(instruction.argval)
    return names
