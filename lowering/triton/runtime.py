"""
Running emitted files: on a GPU with torch, or in Triton's interpreter on the CPU.

A launch function runs in full, with all checks, on the first call with tensors of some shapes, strides, dtypes,
device and alignments. On NVIDIA's GPUs the calls after it repeat what it did (`plan`).
"""

# torch is optional and is reached through the tensors at hand; Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashlower.lowering.bounded_cache import BoundedCache
from flashlower.lowering.triton.arguments import (
    check_disjoint,
    check_kinds,
    check_writable,
    extent,
    is_torch,
    overlap,
)
from flashlower.lowering.triton.loading import load_source
from flashlower.lowering.triton.numpy_tensor import NumpyTensor, numpy_empty
from flashlower.lowering.triton.plan import ALIGNMENT, Plan, Recorder
from flashlower.lowering.triton.workspace import buffers_of

MAX_PLANS = 1024
"""Signatures that a launch function remembers; the oldest goes first."""

Signature = tuple[Any, ...]

Form = tuple[Any, ...]
"""How many arguments a call has, whether it has no workspace, and which results it gives."""


@dataclass(eq=False)
class Remembered:
    """What calls of one signature do."""

    plan: Plan
    device: int
    """The index of the GPU."""
    pairs: tuple[tuple[int, int, int, int], ...]
    """Tensors that must not share memory: two positions among all tensors of a call, and the bytes that each spans."""
    form: Form
    remainders: list[int]
    """Of the addresses, by `ALIGNMENT`."""
    guard: Callable[..., bool] | None = None
    """Whether tensors have the shapes, strides, dtypes and devices of the signature, asked of all of them at once."""
    disjoint: list[int] | None = None
    """Addresses at which no two tensors of `pairs` share memory: those of the last call."""


class Launcher:
    """One launch function of an emitted file. Threads may share it."""

    def __init__(self, source: str, function: str, workspace_size: int = 0):
        """`workspace_size` is what the function needs besides its results, in bytes."""
        self.source = source
        self.function = function
        self.workspace_size = workspace_size
        self._plans: BoundedCache[Remembered] = BoundedCache(MAX_PLANS)
        self._last: Remembered | None = None

    def __call__(self, args: Sequence[Any], *, out: Any = None, workspace: Any = None) -> Any:
        """
        Runs the function; `call` says how, and what it raises.

        A warm call on a GPU costs its launches and little else: it asks whether the tensors are like those of the call
        before, or else compares the signature, and that results share no memory with anything else.
        """
        given: tuple[Any, ...] = () if out is None else tuple(out) if isinstance(out, tuple | list) else (out,)
        form = (len(args), workspace is None, *[x is None for x in given])
        every = [*args, *[x for x in given if x is not None]]
        if workspace is not None:
            every.append(workspace)
        last = self._last
        if last is not None and last.form == form and last.guard is not None and last.guard(*every):
            addresses = [tensor.data_ptr() for tensor in every]
            if [address % ALIGNMENT for address in addresses] == last.remainders and _apart(last, every, addresses):
                return _repeat(last, every, addresses, workspace)
        signature = None
        torch = sys.modules.get("torch")
        if getattr(getattr(torch, "version", None), "cuda", None) is not None:
            read = _signature(torch, every, form)
            if read is not None:
                signature, addresses = read
                found = self._plans.get(signature)
                if found is not None and _apart(found, every, addresses):
                    if found.guard is None or found is last:
                        found.guard = tensor_guard(every)
                    self._last = found
                    return _repeat(found, every, addresses, workspace)
        return self._first(args, given, workspace, signature)

    def plans(self) -> list[Remembered]:
        """All that is remembered."""
        return self._plans.values()

    def _first(self, args: Sequence[Any], given: tuple[Any, ...], workspace: Any, signature: Signature | None) -> Any:
        """The call with all checks; it is remembered where it has a signature and all tensors are on one GPU."""
        on_gpu = any(is_torch(arg) and arg.device.type != "cpu" for arg in args)
        module = load_source(self.source, interpret=not on_gpu)
        function = getattr(module, self.function, None)
        if function is None:
            raise TypeError(f"the source has no function {self.function}")
        names, result_names = _parameters(function)
        # Too many or too few are the function's own error.
        named = {(names[i] if i < len(names) else f"argument {i}"): arg for i, arg in enumerate(args)}
        results = self._results(result_names, given)
        block = {} if workspace is None else {"workspace": workspace}
        device = check_kinds(named, {**results, **block})
        check_writable({**results, **block})
        if workspace is not None and len(results) < len(result_names):
            raise ValueError("a workspace needs out for every result, else those would be allocated")
        empty = None if workspace is None else buffers_of(workspace, self.workspace_size)
        check_disjoint({**results, **block}, named)
        if device is None:
            return _call_numpy(function, args, results, empty or numpy_empty)
        torch = sys.modules["torch"]
        if empty is None:
            empty = _allocator(torch, device)
        if device.type == "cpu":
            return function(*args, **results, empty=empty)
        # Triton launches on the current device.
        with torch.cuda.device(device):
            if signature is None or len(args) != len(names):
                return function(*args, **results, empty=empty)
            returned, plan = Recorder(module, empty).call(self.function, args, results)
        if plan is not None:
            pairs = _pairs(args, results, workspace)
            # A signature is the form, and five entries for each tensor, of which the remainder is the last.
            self._plans.put(signature, Remembered(plan, device.index, pairs, signature[0], [*signature[5::5]]))
        return returned

    def _results(self, names: Sequence[str], given: Sequence[Any]) -> dict[str, Any]:
        """The tensors that results are written to, by their keywords."""
        if len(given) > len(names):
            found = ", ".join(names) or "none"
            raise ValueError(
                f"out has {len(given)} tensors, but the results of {self.function} that can be given are: {found}"
            )
        return {name: tensor for name, tensor in zip(names, given) if tensor is not None}


def _parameters(function: Any) -> tuple[list[str], list[str]]:
    """The names of a launch function's arguments, and the keywords of results that a caller may give, in order."""
    parameters = inspect.signature(function).parameters.values()
    keywords = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return [p.name for p in parameters if p.name not in keywords], [name for name in keywords if name != "empty"]


def _pairs(args: Sequence[Any], results: Mapping[str, Any], workspace: Any) -> tuple[tuple[int, int, int, int], ...]:
    """All pairs of tensors of which one is written."""
    every = [*args, *results.values(), *([] if workspace is None else [workspace])]
    sizes = [extent(tensor) for tensor in every]
    written = range(len(args), len(every))
    return tuple((i, j, sizes[i], sizes[j]) for i in written for j in range(i) if sizes[i] and sizes[j])


def _repeat(found: Remembered, every: list[Any], addresses: list[int], workspace: Any) -> Any:
    """A warm call."""
    block = None
    if workspace is not None:
        every.pop()
        block = addresses.pop()
    active = _driver()
    stream = active.get_current_stream(found.device)
    if active.get_current_device() == found.device:
        return found.plan.run(every, addresses, block, stream)
    with sys.modules["torch"].cuda.device(found.device):
        return found.plan.run(every, addresses, block, stream)


def tensor_guard(tensors: Sequence[Any]) -> Callable[..., bool] | None:
    """
    A function that tells whether others are like these tensors: in type, shape, strides, dtype and device, and in
    whether they record gradients. None where torch has no such function, or it does not know these tensors.

    It is the one that torch.compile guards its code with; it looks at all tensors in one call from Python. What it
    refuses may still have the same signature.
    """
    try:
        guards = sys.modules["torch"]._C._dynamo.guards.TensorGuards
        check = guards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
        return check if check(*tensors) else None
    except (AttributeError, TypeError):
        return None


def _apart(found: Remembered, tensors: list[Any], addresses: list[int]) -> bool:
    """Whether no two tensors of `pairs` share memory."""
    if not found.pairs or addresses == found.disjoint:
        return True
    if _share(found.pairs, tensors, addresses):
        return False
    found.disjoint = list(addresses)
    return True


def _share(pairs: Sequence[tuple[int, int, int, int]], tensors: list[Any], addresses: list[int]) -> bool:
    """Whether two tensors of a pair share memory."""
    for i, j, size_i, size_j in pairs:
        a, b = addresses[i], addresses[j]
        # Views may lie between each other and share no element.
        if a < b + size_j and b < a + size_i and overlap(tensors[i], tensors[j]):
            return True
    return False


@functools.lru_cache(maxsize=1024)
def launcher_of(source: str, function: str, workspace_size: int) -> Launcher:
    """The launch function of a file, and all that it remembers."""
    return Launcher(source, function, workspace_size)


def call(
    source: str,
    function: str,
    args: Sequence[Any],
    *,
    out: Any = None,
    workspace: Any = None,
    workspace_size: int = 0,
) -> Any:
    """
    Call a launch function of an emitted file.

    NumPy arrays give NumPy arrays, through Triton's interpreter; torch tensors give torch tensors, on their
    GPU, or through the interpreter when they are on the CPU. Other arguments, such as ints, are passed on.

    Results are written to `out`: a tensor, or a tuple where there are several, with None for what is to be
    allocated. With a `workspace` of at least `workspace_size` bytes nothing else is allocated either; it needs `out`
    for every result. Results and workspace share memory with nothing else.

    Raises TypeError when arrays and tensors, or devices, are mixed, and ValueError for results that the function
    does not have, for memory that cannot be written or is shared, and for tensors that require gradients.
    """
    return launcher_of(source, function, workspace_size)(args, out=out, workspace=workspace)


def _signature(torch: Any, tensors: list[Any], head: Signature) -> tuple[Signature, list[int]] | None:
    """What a launch function and Triton look at, and the addresses; None where not all are plain torch tensors."""
    signature: list[Any] = [head]
    addresses: list[int] = []
    tensor_type = torch.Tensor
    gradients = torch.is_grad_enabled()
    try:
        for tensor in tensors:
            if not isinstance(tensor, tensor_type) or (gradients and tensor.requires_grad):
                return None
            address = tensor.data_ptr()
            addresses.append(address)
            signature += (tensor.shape, tensor.stride(), tensor.dtype, tensor.device, address % ALIGNMENT)
    except RuntimeError:
        # A tensor without strides or memory, such as a sparse one.
        return None
    return tuple(signature), addresses


@functools.cache
def _driver() -> Any:
    from triton.runtime import driver  # noqa: PLC0415 (optional, checked by the caller)

    return driver.active


def _allocator(torch: Any, device: Any) -> Any:
    def empty(shape: tuple[int, ...], dtype: str) -> Any:
        return torch.empty(shape, dtype=getattr(torch, dtype), device=device)

    return empty


def _call_numpy(launcher: Any, args: Sequence[Any], results: Mapping[str, Any], empty: Any) -> Any:
    wrapped = [_wrap(arg) for arg in args]
    given = {name: _wrap(result) for name, result in results.items()}
    result = launcher(*wrapped, **given, empty=empty)
    if isinstance(result, tuple):
        return tuple(_unwrap(value) for value in result)
    return _unwrap(result)


def _wrap(value: Any) -> Any:
    if isinstance(value, np.generic):
        # NumPy's numbers have a shape and a dtype, but are no memory.
        return value.item()
    return NumpyTensor(value) if isinstance(value, np.ndarray) else value


def _unwrap(value: Any) -> Any:
    return value.array if isinstance(value, NumpyTensor) else value
