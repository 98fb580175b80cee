"""Locks in launch plans: a recorded call, repeated with other tensors, computes what the launch function computes.

A plan hands addresses to compiled kernels. Here a compiled kernel is Triton's interpreter on the memory at these
addresses, so numbers are compared without a GPU; `tests/test_gpu.py` does the same on one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from attention_calls import Call, random_call
from triton.runtime.jit import KernelInterface

import flashlower as fl
from flashlower.lowering import functional
from flashlower.lowering.triton.loading import load_source
from flashlower.lowering.triton.numpy_tensor import NumpyTensor, numpy_dtype
from flashlower.lowering.triton.plan import Plan, Recorder


class CompiledKernel:
    """What Triton's compiler gives: `kernel[grid](*arguments, stream=...)`, pointers as addresses."""

    def __init__(self, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]):
        self.kernel, self.options = kernel, options
        self.dtypes = [str(x.dtype).removeprefix("torch.") if isinstance(x, torch.Tensor) else None for x in arguments]
        self.integers = [x for x in arguments if not isinstance(x, torch.Tensor)]

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        assert len(grid) == 3

        def start(*arguments: Any, stream: int | None) -> None:
            assert stream == 7
            # A compiled kernel is for these integers: it may have folded them.
            assert [x for x, dtype in zip(arguments, self.dtypes) if dtype is None] == self.integers
            assert all(type(x) is int for x in arguments)
            self.kernel[grid](*[_at(x, dtype) for x, dtype in zip(arguments, self.dtypes)], **self.options)

        return start


def _at(argument: int, dtype: str | None) -> Any:
    if dtype is None:
        return argument
    element = numpy_dtype(dtype)
    memory = (ctypes.c_char * element.itemsize).from_address(argument or ctypes.addressof(_NOTHING))
    return NumpyTensor(np.frombuffer(memory, element))


_NOTHING = (ctypes.c_char * 16)()


class Kernel(KernelInterface[Any]):
    """A kernel of a file: interpreted, and compiled as above."""

    def __init__(self, kernel: Any):
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., CompiledKernel]:
        def launch(*arguments: Any, **options: Any) -> CompiledKernel:
            self.kernel[grid](*arguments, **options)
            return CompiledKernel(self.kernel, arguments, options)

        return launch


def empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.empty(shape, dtype=getattr(torch, dtype))


def recorder(source: str) -> Recorder:
    """One that finds compiled kernels in a file."""
    module = ModuleType("compiled")
    for name, value in vars(load_source(source, interpret=True)).items():
        setattr(module, name, Kernel(value) if isinstance(value, KernelInterface) else value)
    return Recorder(module, empty)


def record(call: Call) -> tuple[Any, Plan]:
    """The result of a call and its plan."""
    options = {name: x for name, x in call.options.items() if name not in ("out", "workspace")}
    found, arguments = functional._prepare(call.q, call.k, call.v, **options)
    kernel = found.kernel
    given = call.options.get("out", ())
    results = dict(zip(("out", "lse"), given if isinstance(given, tuple) else (given,)))
    returned, plan = recorder(kernel.source).call(kernel.entry, arguments, results)
    assert plan is not None
    call.plan_arguments = [*arguments, *results.values()]
    return returned, plan


def repeat(plan: Plan, tensors: list[torch.Tensor], block: int | None) -> Any:
    return plan.run(list(tensors), [tensor.data_ptr() for tensor in tensors], block, 7)


@pytest.mark.parametrize("seed", [1, 3, 4, 6, 9])
def test_a_plan_repeats_what_was_recorded(seed: int) -> None:
    call = random_call(seed, "cpu", small=True)
    call.result, plan = record(call)
    call.check()
    want = [x.clone() for x in (call.result if isinstance(call.result, tuple) else (call.result,))]
    # The same call from other memory, with new contents; a workspace holds anything.
    moved = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x) for x in call.plan_arguments]
    for tensor in call.plan_arguments:
        tensor.zero_()
    size = 0 if plan.block is None else plan.block.shape[0]
    block = torch.full((size + 256,), 255, dtype=torch.uint8)
    for address in (None, -(-block.data_ptr() // 256) * 256):
        got = repeat(plan, moved, address)
        for a, b in zip(got if isinstance(got, tuple) else (got,), want):
            assert torch.equal(a, b)
    if "out" in call.options:
        first = got[0] if isinstance(got, tuple) else got
        assert any(first is tensor for tensor in moved)
    else:
        again = repeat(plan, moved, None)
        assert again is not got


def test_tensors_that_were_one_may_be_two_later() -> None:
    """k and v are the same tensor in the call that is recorded, and are not afterwards."""
    q, k, v = torch.randn(1, 2, 1, 16), torch.randn(1, 1, 40, 16), torch.randn(1, 1, 40, 16)
    kernel = functional._prepare(q, k, k, splits=2)[0].kernel
    _, plan = recorder(kernel.source).call("attention", [q, k, k], {})
    assert plan is not None and len(plan.launches) == 2 and len(plan.offsets) == 2
    assert all(offset % 256 == 0 for offset in plan.offsets)
    torch.testing.assert_close(repeat(plan, [q, k, v], None), fl.attention(q, k, v, splits=2))
