"""
Launch plans: what a launch function does for one signature of tensors, repeated without running it again.

A launch function looks at shapes, strides and dtypes only. For the same ones it allocates the same buffers and starts
the same kernels on the same grids, with other addresses. So its first call is recorded, with Triton's compiled kernels,
and later calls start these directly. Triton specialises a kernel on what its arguments are divisible by: integers
follow from the signature, and the alignment of every address is a part of it.
"""

# torch is optional and is reached through the tensors at hand; Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from operator import itemgetter
from types import FunctionType, ModuleType
from typing import Any, cast

from flashlower.lowering.triton.workspace import aligned

ALIGNMENT = 16
"""Bytes: Triton compiles kernels for addresses that are multiples of this, or for any."""


@dataclass(frozen=True)
class Buffer:
    """A tensor that a launch function allocates."""

    shape: tuple[int, ...]
    dtype: Any
    device: Any

    @functools.cached_property
    def _like(self) -> Any:
        """
        One element as a tensor of that shape: `empty_like` takes half the time of `empty`. It is made when it is first
        needed, which is never where the caller gives a workspace.
        """
        return sys.modules["torch"].empty((), dtype=self.dtype, device=self.device).expand(self.shape)

    def empty(self) -> Any:
        """The tensor, contiguous."""
        return sys.modules["torch"].empty_like(self._like)


@dataclass(frozen=True)
class Launch:
    """One kernel on its grid."""

    start: Callable[..., Any]
    """`start(*arguments, stream=...)`; pointers are addresses."""
    arguments: Callable[[list[int]], tuple[int, ...]]
    """Picks the arguments from addresses and constants."""


@dataclass(frozen=True)
class Plan:
    """
    What a call does: allocate results and one block for all other buffers, start kernels, return.

    Tensors of a call are numbered: what the caller gives, then results that are allocated.
    """

    results: tuple[Buffer, ...]
    """What is allocated and returned."""
    block: Buffer | None
    """The memory of all buffers between kernels, in bytes; None where there are none."""
    offsets: tuple[int, ...]
    """Where they begin in it."""
    constants: tuple[int, ...]
    """Integer arguments of all launches."""
    launches: tuple[Launch, ...]
    returned: tuple[int, ...] | int
    """The tensors that the call returns: several as a tuple, or one."""

    def run(self, tensors: list[Any], addresses: list[int], workspace: int | None, stream: int | None) -> Any:
        """
        Repeats the call with other tensors of the same signature.

        `addresses` are those of the tensors, `workspace` is that of a block, or None to allocate one, `stream` that of
        the launches or None for Triton's choice. Both lists are changed.
        """
        for buffer in self.results:
            result = buffer.empty()
            tensors.append(result)
            addresses.append(result.data_ptr())
        memory: Any = None
        if self.block is not None:
            if workspace is None:
                # Its name keeps the memory until all kernels are in the stream.
                memory = self.block.empty()
                workspace = cast(int, memory.data_ptr())
            for offset in self.offsets:
                addresses.append(workspace + offset)
        addresses += self.constants
        for launch in self.launches:
            launch.start(*launch.arguments(addresses), stream=stream)
        if isinstance(self.returned, int):
            return tensors[self.returned]
        return tuple([tensors[index] for index in self.returned])


class Recorder:
    """
    Calls a launch function once and writes down what it does.

    `empty` allocates, as for the launch function. Tensors are told apart by identity, so what the function gets are
    views of the caller's tensors, one for each argument.
    """

    def __init__(self, module: ModuleType, empty: Callable[..., Any]):
        from triton.runtime.jit import KernelInterface  # noqa: PLC0415 (optional, there when a file is loaded)

        self._empty = empty
        self._buffers: list[Any] = []
        self._starts: list[tuple[Any, tuple[int, ...], tuple[Any, ...]]] = []
        # The file's names, with kernels that are written down.
        self._names = dict(vars(module))
        for name, value in vars(module).items():
            if isinstance(value, KernelInterface):
                self._names[name] = _RecordedKernel(value, self._starts)
            elif isinstance(value, FunctionType):
                copy = FunctionType(value.__code__, self._names, name, value.__defaults__, value.__closure__)
                copy.__kwdefaults__ = value.__kwdefaults__
                self._names[name] = copy

    def _allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        self._buffers.append(self._empty(shape, dtype))
        return self._buffers[-1]

    def call(self, function: str, args: Sequence[Any], results: dict[str, Any]) -> tuple[Any, Plan | None]:
        """What the function returns, and the plan; None where the call does something that a plan cannot repeat."""
        given = [*args, *results.values()]
        views = [tensor.view(tensor.shape) for tensor in given]
        options = dict(zip(results, views[len(args) :]))
        returned = self._names[function](*views[: len(args)], **options, empty=self._allocate)
        values = returned if isinstance(returned, tuple) else (returned,)
        known = {id(view): index for index, view in enumerate(views)}
        # A caller gets the tensors that it gave, not views of them.
        own = [given[known[id(value)]] if id(value) in known else value for value in values]
        plan = self._plan(views, values, isinstance(returned, tuple)) if given else None
        return (tuple(own) if isinstance(returned, tuple) else own[0]), plan

    def _plan(self, views: list[Any], values: Sequence[Any], several: bool) -> Plan | None:
        ids = {id(value) for value in values}
        results = [buffer for buffer in self._buffers if id(buffer) in ids]
        inner = [buffer for buffer in self._buffers if id(buffer) not in ids]
        number = {id(tensor): index for index, tensor in enumerate([*views, *results, *inner])}
        if any(id(value) not in number for value in values):
            return None
        ends = [0]
        for buffer in inner:
            ends.append(ends[-1] + aligned(prod(buffer.shape) * buffer.element_size()))
        constants: list[int] = []
        launches: list[Launch] = []
        for compiled, grid, arguments in self._starts:
            # A kernel that is compiled in the background is none yet.
            if not hasattr(compiled, "__getitem__"):
                return None
            indices: list[int] = []
            for argument in arguments:
                if id(argument) in number:
                    indices.append(number[id(argument)])
                elif isinstance(argument, int):
                    indices.append(len(number) + len(constants))
                    constants.append(argument)
                else:
                    return None
            launches.append(Launch(compiled[(*grid, 1, 1)[:3]], _picker(indices)))
        returned = tuple(number[id(value)] for value in values)
        return Plan(
            tuple(Buffer(tuple(buffer.shape), buffer.dtype, buffer.device) for buffer in results),
            Buffer((ends[-1],), sys.modules["torch"].uint8, views[0].device) if inner else None,
            tuple(ends[:-1]),
            tuple(constants),
            tuple(launches),
            returned if several else returned[0],
        )


@dataclass(frozen=True)
class _RecordedKernel:
    """A kernel that writes down its launches: what was compiled, the grid, the arguments."""

    kernel: Any
    starts: list[tuple[Any, tuple[int, ...], tuple[Any, ...]]]

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            self.starts.append((self.kernel[grid](*arguments, **options), grid, arguments))

        return launch


def _picker(indices: list[int]) -> Callable[[list[int]], tuple[int, ...]]:
    if len(indices) == 1:
        (index,) = indices
        return lambda values: (values[index],)
    return itemgetter(*indices) if indices else lambda values: ()
