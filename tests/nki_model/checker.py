"""Checks NKI source without running it: signatures, names, enumerations, and the Python that NKI's compiler accepts."""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from nki_model.signatures import (
    BUFFERS,
    CHOICES,
    DEPRECATED,
    DTYPES,
    ENUMS,
    ISA,
    LANGUAGE,
    OPERATORS,
    TENSOR,
    Signature,
)

RULES = {
    "syntax": "the file is Python.",
    "import": "only nki, nki.isa, nki.language and math are imported; neuronxcc is an error since 0.4.0.",
    "no-kernel": "a function is decorated with nki.jit.",
    "kernel-signature": "doc (0.3.0): no keyword-only parameters; nor *args, **kwargs, positional-only ones.",
    "kernel-result": "a kernel returns its results.",
    "is-operator": "doc (0.3.0): `is` and `is not` are not supported.",
    "python-subset": "doc: kernels are made of functions, for and while loops, if, assignments and expressions.",
    "builtin": "a built-in function that the language guide does not have.",
    "undefined-name": "names are defined before they are used.",
    "unknown-function": "a function that the table of signatures does not have.",
    "unknown-name": "nki.language and the enumerations of nki.isa have no such name.",
    "arguments": "the arguments fit the documented signature.",
    "enum-literal": "doc (0.3.0): operators, enumerations, dtypes and buffers are names, not numbers or strings.",
    "explicit-accumulate": "nki.md: nc_matmul says whether it accumulates.",
    "experimental": "nki.md: instructions rather than the experimental functions of nki.language.",
    "deprecated": "doc: affine_range and its like are Python's range; dynamic_range is fori_loop.",
    "store-by-assignment": "tiles are written by instructions, not by assignment.",
}
_MODULES = {"nki": "nki", "nki.isa": "nisa", "nki.language": "nl", "math": "math"}
_BUILTINS = {"range", "len", "min", "max", "abs", "int", "float", "bool", "str", "tuple", "list", "dict", "print"}
_REFUSED = (
    ast.Try, ast.TryStar, ast.Raise, ast.With, ast.AsyncWith, ast.AsyncFor, ast.AsyncFunctionDef, ast.Await, ast.Lambda,
    ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal, ast.Delete, ast.Match, ast.NamedExpr, ast.Starred, ast.Set,
    ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.ClassDef, ast.Import, ast.ImportFrom,
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """What is wrong, by the name of a rule, and in which line."""

    rule: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: [{self.rule}] {self.text}"


def check(source: str) -> list[Problem]:
    """The problems of a file of kernels; none if it is right."""
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        return [Problem("syntax", error.lineno or 0, error.msg)]
    return sorted(_Checker(module).problems(), key=lambda problem: problem.line)


class _Checker:
    def __init__(self, module: ast.Module):
        self.module = module
        self.globals: set[str] = set()

    def problems(self) -> Iterator[Problem]:
        kernels = 0
        for statement in self.module.body:
            yield from self._top(statement)
        for statement in self.module.body:
            if isinstance(statement, ast.FunctionDef):
                is_kernel = any(ast.unparse(decorator) == "nki.jit" for decorator in statement.decorator_list)
                kernels += is_kernel
                yield from self._function(statement, is_kernel)
        if not kernels:
            yield Problem("no-kernel", 1, "no function is decorated with nki.jit")

    def _top(self, statement: ast.stmt) -> Iterator[Problem]:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                name = alias.name if isinstance(statement, ast.Import) else f"{statement.module}.{alias.name}"
                if _MODULES.get(name) != (alias.asname or alias.name):
                    yield Problem("import", statement.lineno, ast.unparse(statement))
                self.globals.add(alias.asname or alias.name.split(".")[0])
        elif isinstance(statement, ast.FunctionDef):
            self.globals.add(statement.name)
        elif isinstance(statement, ast.Assign):
            self.globals |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield Problem("python-subset", statement.lineno, f"{type(statement).__name__} in a module")

    def _function(self, function: ast.FunctionDef, is_kernel: bool) -> Iterator[Problem]:
        args = function.args
        if args.kwonlyargs or args.vararg or args.kwarg or args.posonlyargs:
            yield Problem("kernel-signature", function.lineno, ast.unparse(args))
        if is_kernel and not any(isinstance(node, ast.Return) and node.value for node in ast.walk(function)):
            yield Problem("kernel-result", function.lineno, f"{function.name} returns nothing")
        known = self.globals | {arg.arg for arg in args.args}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
            elif isinstance(node, ast.FunctionDef):
                known |= {node.name, *(arg.arg for arg in node.args.args)}
        for node in ast.walk(function):
            yield from self._node(node, known)

    def _node(self, node: ast.AST, known: set[str]) -> Iterator[Problem]:
        line = getattr(node, "lineno", 0)
        if isinstance(node, _REFUSED):
            yield Problem("python-subset", line, type(node).__name__)
        elif isinstance(node, ast.Compare) and any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            yield Problem("is-operator", line, ast.unparse(node))
        elif isinstance(node, ast.Dict) and any(not _is_string(key) for key in node.keys):
            yield Problem("python-subset", line, "a dictionary whose keys are not strings")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
            if node.id not in _BUILTINS:
                rule = "builtin" if hasattr(builtins, node.id) else "undefined-name"
                yield Problem(rule, line, node.id)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield Problem("store-by-assignment", line, ast.unparse(node))
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)

    def _attribute(self, node: ast.Attribute) -> Iterator[Problem]:
        owner = _dotted(node.value)
        if owner == "nl" and node.attr in DEPRECATED:
            yield Problem("deprecated", node.lineno, f"nl.{node.attr}")
        elif owner == "nl" and node.attr not in (*DTYPES, *BUFFERS, *OPERATORS, *LANGUAGE, "tile_size"):
            yield Problem("unknown-name", node.lineno, f"nl.{node.attr}")
        elif owner == "nisa" and node.attr not in ISA and node.attr not in ENUMS:
            yield Problem("unknown-function", node.lineno, f"nisa.{node.attr}")
        elif owner.startswith("nisa.") and node.attr not in ENUMS.get(owner[5:], (node.attr,)):
            yield Problem("unknown-name", node.lineno, f"{owner}.{node.attr}")

    def _call(self, node: ast.Call) -> Iterator[Problem]:
        if not isinstance(node.func, ast.Attribute):
            return
        owner, name = _dotted(node.func.value), node.func.attr
        if owner == "nl" and name in OPERATORS:
            yield Problem("experimental", node.lineno, f"nl.{name}(...)")
        table = {"nisa": ISA, "nl": LANGUAGE}.get(owner)
        signature = (TENSOR if table is None else table).get(name)
        if signature is None:
            return
        yield from _arguments(node, f"{owner}.{name}" if table else f".{name}", signature)
        given = {word.arg for word in node.keywords} | set(signature.parameters[: len(node.args)])
        if owner == "nisa" and name == "nc_matmul" and "accumulate" not in given:
            yield Problem("explicit-accumulate", node.lineno, "nc_matmul without accumulate")


def _arguments(node: ast.Call, name: str, signature: Signature) -> Iterator[Problem]:
    bound = list(zip(signature.parameters, node.args))
    if len(node.args) > len(signature.parameters):
        yield Problem("arguments", node.lineno, f"{name} takes {len(signature.parameters)} arguments")
    for word in node.keywords:
        if word.arg not in signature.parameters:
            yield Problem("arguments", node.lineno, f"{name} has no parameter {word.arg}")
        elif word.arg in dict(bound):
            yield Problem("arguments", node.lineno, f"{name} gets {word.arg} twice")
        else:
            bound.append((word.arg, word.value))
    for missing in sorted(set(signature.required) - set(dict(bound))):
        yield Problem("arguments", node.lineno, f"{name} lacks {missing}")
    for parameter, value in bound:
        if parameter in CHOICES and isinstance(value, ast.Constant) and value.value is not None:
            yield Problem("enum-literal", node.lineno, f"{name}: {parameter} is {value.value!r}")


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of names and attributes; nothing for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    owner = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{owner}.{node.attr}" if isinstance(node, ast.Attribute) and owner else ""


def _is_string(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and isinstance(key.value, str)
