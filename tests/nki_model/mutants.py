"""Mutants of an NKI kernel: each changes one thing so that the kernel is wrong, on data that uses every part of it.

`mutants(source)` gives (description, source) pairs. A change that leaves many right kernels right is not made: the
stride of a dimension of size 1, a larger buffer, another engine that can do the same, a bound that guards against
overflow, the value of padding, and the maximum that softmax subtracts, which only has to be near the true one. What
remains must be killed: by the checker, by a rule of the model, or by wrong numbers. The data must make that possible:
rows with logits above 100, so that a softmax without its maximum overflows, rows with small ones, so that every key
counts, masks that mask. A survivor means that an instruction does nothing for this kernel, which is worth knowing.
"""

import ast
import copy
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from nki_model.checker import check

_WRONG_OPERATOR = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "subtract",
    "exp": "tanh",
    "tanh": "exp",
    "less": "greater",
    "less_equal": "greater",
    "greater": "less_equal",
    "greater_equal": "less",
    "equal": "not_equal",
    "log": "square",
}
_ORDERED = ("subtract", "less", "less_equal", "greater", "greater_equal")
# Instructions that stand guard (a bound, a NaN) change nothing on most data.
_GUARDS = ("maximum", "minimum")

Change = tuple[str, Callable[[Any], None]]
Site = tuple[Any, str, Callable[[Any], None]]


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Wrong versions of `source`, each with what was done, in the order of the source."""
    module = ast.parse(source)
    return _distinct(module, _sites(module))


def sample(source: str, count: int, seed: int) -> list[tuple[str, str]]:
    """`count` of the mutants, at random."""
    module = ast.parse(source)
    sites = _sites(module)
    random.Random(seed).shuffle(sites)
    return list(itertools.islice(_distinct(module, sites), count))


def _sites(module: ast.Module) -> list[Site]:
    """Every change that makes a mutant of a module, with the node that it is made to."""
    nodes = [node for node in ast.walk(module) if hasattr(node, "lineno")]
    inert = {id(inner) for node in nodes if _stabilises(node) for inner in ast.walk(node) if inner is not node}
    whole = {
        word.value.id
        for node in nodes
        if isinstance(node, ast.Call) and _instruction(node)
        for word in node.keywords
        if isinstance(word.value, ast.Name)
    }
    ordered = sorted(nodes, key=lambda node: (node.lineno, node.col_offset))
    return [(node, *change) for node in ordered if id(node) not in inert for change in _changes(node, whole)]


def _distinct(module: ast.Module, sites: Iterable[Site]) -> Iterator[tuple[str, str]]:
    """The text of each mutant. Printing a module takes longer than to change it, so it is done when asked for."""
    seen = {ast.unparse(module)}
    for node, text, change in sites:
        before = vars(node).copy()
        vars(node).update({name: copy.deepcopy(value) for name, value in before.items()})
        change(node)
        result = ast.unparse(ast.fix_missing_locations(module))
        vars(node).update(before)
        if result not in seen:
            seen.add(result)
            yield f"line {node.lineno}: {text}", result


def survivors(
    pairs: Iterable[tuple[str, str]],
    run: Callable[[str], Any],
    expected: Any,
    tolerance: float,
) -> list[str]:
    """The mutants that nothing kills. `run(source)` gives the kernel's result or results."""
    return [text for text, source in pairs if killed_by(source, run, expected, tolerance) is None]


def killed_by(source: str, run: Callable[[str], Any], expected: Any, tolerance: float) -> str | None:
    """What kills a mutant: the checker, a rule, a failure of another kind, or the numbers; None if nothing does."""
    problems = check(source)
    if problems:
        return f"checker: {problems[0].rule}"
    try:
        result = run(source)
    except Exception as error:
        return f"rule: {getattr(error, 'rule', type(error).__name__)}"
    results = result if isinstance(result, tuple) else (result,)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for got, want in zip(results, wanted):
        if got.shape != want.shape or _error(got, want) > tolerance:
            return "numbers"
    return None


def _error(got: np.ndarray, want: np.ndarray) -> float:
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    if (np.isnan(got) | (np.isfinite(got) != finite)).any():
        return float("inf")
    return float(np.linalg.norm((got - want)[finite]) / max(np.linalg.norm(want[finite]), 1e-30))


def _changes(node: ast.AST, whole: set[str]) -> Iterator[Change]:
    """`whole`: the tiles that some instruction takes as they are, without a slice."""
    if isinstance(node, ast.Expr) and _instruction(node.value):
        yield from _dropped(node)
    elif isinstance(node, ast.Call) and _instruction(node):
        yield from _arguments(node)
    elif isinstance(node, ast.Call) and _name(node) == "ap":
        yield from _access_pattern(node)
    elif isinstance(node, ast.Call) and _name(node) == "ndarray":
        yield from _buffer(node)
    elif isinstance(node, ast.Assign) and _name(node.value) == "ndarray" and ast.unparse(node.targets[0]) in whole:
        yield from _shape(node.value)
    elif isinstance(node, ast.Subscript):
        yield from _slices(node)
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
        yield "one iteration less", _shorten


def _instruction(node: ast.AST) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "nisa"


def _stabilises(node: ast.AST) -> bool:
    """A maximum over logits: any part of them will do."""
    operator = _keywords(node).get("op") if isinstance(node, ast.Call) and _name(node) == "tensor_reduce" else None
    return operator is not None and ast.unparse(operator) == "nl.maximum"


def _name(node: ast.AST) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _keywords(node: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in node.keywords if word.arg}


def _set(node: ast.Call, name: str, value: ast.expr) -> None:
    for word in node.keywords:
        if word.arg == name:
            word.value = value


def _guards(node: ast.Call) -> bool:
    words = _keywords(node)
    operators = [words[name].attr for name in ("op", "op0", "op1") if isinstance(words.get(name), ast.Attribute)]
    return _name(node) in ("tensor_scalar", "tensor_tensor") and any(op in _GUARDS for op in operators)


def _dropped(node: ast.Expr) -> Iterator[Change]:
    assert isinstance(node.value, ast.Call)
    if _guards(node.value):
        return

    def drop(twin: ast.Expr) -> None:
        twin.value = ast.Constant(None)

    yield f"dropped {_name(node.value)}", drop


def _swap(first: str, second: str) -> Callable[[ast.Call], None]:
    def swap(twin: ast.Call) -> None:
        words = _keywords(twin)
        _set(twin, first, words[second])
        _set(twin, second, words[first])

    return swap


def _arguments(node: ast.Call) -> Iterator[Change]:
    words, name = _keywords(node), _name(node)
    operator = words.get("op", words.get("op0"))
    ordered = isinstance(operator, ast.Attribute) and operator.attr in _ORDERED
    pairs = [("dst", "src"), ("stationary", "moving"), ("on_true", "predicate")]
    pairs += [("data1", "data2")] if ordered else []
    for first, second in pairs:
        if first in words and second in words and ast.unparse(words[first]) != ast.unparse(words[second]):
            yield f"{name}: {first} and {second} swapped", _swap(first, second)
    for word, value in words.items():
        yield from _argument(node, name, word, value)


def _argument(node: ast.Call, name: str, word: str, value: ast.expr) -> Iterator[Change]:
    def put(text: str) -> Callable[[ast.Call], None]:
        return lambda twin: _set(twin, word, ast.parse(text, mode="eval").body)

    text = ast.unparse(value)
    if isinstance(value, ast.Attribute) and text.startswith("nl.") and value.attr in _WRONG_OPERATOR:
        wrong = f"nl.{_WRONG_OPERATOR[value.attr]}"
        if not (word == "reduce_op" and name == "activation"):
            yield f"{name}: {word} {text} to {wrong}", put(wrong)
    elif text == "nisa.reduce_cmd.reset_reduce":
        yield f"{name}: {word} to idle", put("nisa.reduce_cmd.idle")
    elif word == "engine":
        yield f"{name}: engine to sync", put("nisa.engine.sync")
    elif word == "accumulate":
        yield f"{name}: accumulate {text} to True", put("True")
    elif word == "negate":
        yield f"{name}: negate {text} to not", put(f"not ({text})")
    elif word in ("offset", "channel_multiplier", "range_start"):
        if not (word == "channel_multiplier" and text == "0"):
            yield f"{name}: {word} {text} plus 1", put(f"({text}) + 1")
    elif word in ("scale", "value") and isinstance(value, ast.Constant) and _ordinary(value.value):
        yield f"{name}: {word} {text} changed", put(f"{value.value * 1.5!r}")
    elif word == "on_false_value":
        yield f"{name}: {word} {text} to 0.0", put("0.0")
    elif word in ("send_to_rank", "recv_from_rank"):
        yield f"{name}: {word} {text} plus 1", put(f"({text}) + 1")
    elif word in ("scalar_offset", "vector_offset"):
        yield f"{name}: no {word}", put("None")
    elif word == "bias":
        yield f"{name}: no bias", put("None")
    elif word == "axis" and isinstance(value, ast.Tuple):
        yield f"{name}: axis {text} to the partitions", put("(0,)")


def _ordinary(value: Any) -> bool:
    """A number that matters: not 0, which may be padding, nor a bound near the ends of float32."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-15 < abs(value) < 1e30


def _access_pattern(node: ast.Call) -> Iterator[Change]:
    words = _keywords(node)
    pattern = words.get("pattern", node.args[0] if node.args else None)
    entries = pattern.elts if isinstance(pattern, (ast.List, ast.Tuple)) else []
    for place, entry in enumerate(entries):
        if not isinstance(entry, (ast.List, ast.Tuple)):
            continue
        size = entry.elts[1]
        single = isinstance(size, ast.Constant) and size.value == 1
        # The hardware takes the leading stride of a gather from the tensor itself.
        ignored = place == 0 and "vector_offset" in words
        if not single and not ignored:
            yield f"ap: stride {place} plus 1", _bump_entry(place, 0, 1)
        yield f"ap: size {place} plus 1", _bump_entry(place, 1, 1)
    if "offset" in words:
        yield from _argument(node, "ap", "offset", words["offset"])
    for word in ("scalar_offset", "vector_offset"):
        if word in words:
            yield from _argument(node, "ap", word, words[word])


def _bump_entry(place: int, item: int, by: int) -> Callable[[ast.Call], None]:
    def bump(twin: ast.Call) -> None:
        pattern: Any = _keywords(twin).get("pattern", twin.args[0] if twin.args else None)
        pattern.elts[place].elts[item] = _plus(pattern.elts[place].elts[item], by)

    return bump


def _plus(value: ast.expr, by: int) -> ast.expr:
    if isinstance(value, ast.Constant) and isinstance(value.value, int):
        return ast.Constant(value.value + by)
    return ast.BinOp(value, ast.Add() if by > 0 else ast.Sub(), ast.Constant(abs(by)))


def _buffer(node: ast.Call) -> Iterator[Change]:
    words = _keywords(node)
    buffer = ast.unparse(words["buffer"]) if "buffer" in words else ""
    other = {"nl.psum": "nl.sbuf", "nl.shared_hbm": "nl.private_hbm"}.get(buffer)
    if other:
        yield f"{buffer} to {other}", lambda twin: _set(twin, "buffer", ast.parse(other, mode="eval").body)


def _shape(node: ast.expr) -> Iterator[Change]:
    assert isinstance(node, ast.Call)
    shape = node.args[0] if node.args else _keywords(node).get("shape")
    for place, size in enumerate(shape.elts if isinstance(shape, ast.Tuple) else []):
        if isinstance(size, ast.Constant) and size.value > 1:

            def shrink(twin: ast.Assign, place: int = place) -> None:
                call: Any = twin.value
                extents: Any = call.args[0] if call.args else _keywords(call)["shape"]
                extents.elts[place] = _plus(extents.elts[place], -1)

            yield f"dimension {place} smaller by 1", shrink


def _slices(node: ast.Subscript) -> Iterator[Change]:
    keys = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for place, key in enumerate(keys):
        if not isinstance(key, ast.Slice):
            continue
        for side in ("lower", "upper"):
            if getattr(key, side) is not None:
                yield f"slice {place}: {side} bound changed", _bump_slice(place, (side,))
        if place == 0 and key.lower is not None and key.upper is not None:
            yield "slice 0 one partition further", _bump_slice(place, ("lower", "upper"))


def _bump_slice(place: int, sides: tuple[str, ...]) -> Callable[[ast.Subscript], None]:
    def bump(twin: ast.Subscript) -> None:
        keys: Any = twin.slice.elts if isinstance(twin.slice, ast.Tuple) else [twin.slice]
        for side in sides:
            by = -1 if side == "upper" and len(sides) == 1 else 1
            setattr(keys[place], side, _plus(getattr(keys[place], side), by))

    return bump


def _shorten(twin: ast.For) -> None:
    assert isinstance(twin.iter, ast.Call)
    place = 0 if len(twin.iter.args) == 1 else 1
    twin.iter.args[place] = _plus(twin.iter.args[place], -1)
