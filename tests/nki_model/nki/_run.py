"""Launching kernels: jit, simulate, the cores' threads, arguments and results."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from nki import _machine
from nki._dtypes import dtype_name
from nki._rules import fail
from nki._storage import MemoryRegion, Storage
from nki._target import nc_version, target
from nki._tensor import NkiTensor, trivial_strides


class Kernel:
    """A function decorated with `jit`; `kernel[n]` launches it on n cores."""

    def __init__(self, function: Callable[..., Any], grid: int | None = None):
        self.function, self.grid = function, grid
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    def __getitem__(self, grid: Any) -> "Kernel":
        if type(grid) is not int or grid not in (1, 2):
            fail("launch", f"the launch grid {grid!r}; it is 1 or 2")
        return Kernel(self.function, grid)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if _machine.running():
            fail("nested-kernel", f"{self.__name__} is decorated with nki.jit and called inside of a kernel")
        if os.environ.get("NKI_SIMULATOR") == "1":
            return simulate(self)(*args, **options)
        raise RuntimeError("the model has no device: run the kernel with nki.simulate")


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel."""
    if function is None:
        return lambda inner: jit(inner, **options)
    if "platform_target" in options:
        raise TypeError("nki.jit has no platform_target; set NEURON_PLATFORM_TARGET_OVERRIDE")
    return Kernel(function)


def simulate(kernel: Any) -> Callable[..., Any]:
    """The kernel as a function of NumPy arrays that gives NumPy arrays."""
    launched = kernel if isinstance(kernel, Kernel) else Kernel(kernel)

    def run(*args: Any, **options: Any) -> Any:
        return _Launch(launched)(args, options)

    return run


class _Launch:
    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.machine = target()
        self.cores = kernel.grid or 1
        if self.cores == 2 and self.machine.version < nc_version.gen3:
            fail("launch", f"two logical cores on {self.machine.name}")
        self.run = _machine.Run(self.machine, self.cores, kernel.grid is not None)
        self.inputs: list[tuple[np.ndarray, Storage]] = []
        self.results: list[Any] = [None] * self.cores
        self.errors: list[BaseException | None] = [None] * self.cores

    def __call__(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        args = tuple(self._argument(value, f"argument {place}") for place, value in enumerate(args))
        options = {name: self._argument(value, name) for name, value in options.items()}
        if self.cores == 1:
            self._core(0, args, options)
        else:
            threads = [threading.Thread(target=self._core, args=(core, args, options)) for core in range(self.cores)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for error in self.errors:
            if error is not None and not isinstance(error, _machine.CoreStopped):
                raise error
        for array, storage in self.inputs:
            if storage.life.first_write is not None:
                array[...] = storage.data.view(array.dtype).reshape(array.shape)
        return self._outputs()

    def _argument(self, value: Any, name: str) -> Any:
        if isinstance(value, list):
            fail("list-argument", f"{name} of {self.kernel.__name__} is a list")
        if not isinstance(value, np.ndarray):
            return value
        region = MemoryRegion.shared_hbm if self.cores == 2 else MemoryRegion.private_hbm
        storage = Storage.of_array(value, dtype_name(value.dtype), region, name)
        storage.shared_by_cores = self.cores == 2
        self.inputs.append((value, storage))
        return NkiTensor(storage, value.shape, trivial_strides(value.shape), 0, storage.dtype)

    def _core(self, index: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        _machine.set_core(self.run.cores[index])
        try:
            self.run.start(index)
            self.results[index] = self.kernel.function(*args, **options)
            self.run.cores[index].check_capacity()
        except BaseException as error:
            self.errors[index] = error
        finally:
            self.run.end(index, self.errors[index] is not None)
            _machine.set_core(None)

    def _outputs(self) -> Any:
        first = self.results[0]
        several = isinstance(first, (tuple, list))
        returned = [list(result) if several else [result] for result in self.results]
        if any(len(result) != len(returned[0]) for result in returned):
            fail("same-program", "the cores return different numbers of tensors")
        arrays = [self._output([result[place] for result in returned]) for place in range(len(returned[0]))]
        return tuple(arrays) if several else arrays[0]

    def _output(self, tensors: list[Any]) -> Any:
        tensor = tensors[0]
        if all(value is None for value in tensors):
            return None
        if not isinstance(tensor, NkiTensor):
            fail("output-buffer", f"the kernel returns {tensor!r}")
        if any(not isinstance(other, NkiTensor) or other.storage is not tensor.storage for other in tensors):
            fail("same-program", f"the cores do not return the same tensor as {tensor}")
        argument = any(tensor.storage is storage for _, storage in self.inputs)
        if tensor.buffer is not MemoryRegion.shared_hbm and not argument:
            fail("output-buffer", f"the kernel returns {tensor}, which is not in shared_hbm")
        offset, shape, strides, item = tensor._bytes()
        written = tensor.storage._tags(offset, shape, strides, item, tensor.storage.tags) != 0
        if not written.all():
            missing = np.argwhere(~written.all(axis=-1))
            fail("output-unwritten", f"{len(missing)} elements of {tensor}, the first at {missing[0].tolist()}")
        return tensor.storage.values(offset, shape, strides, tensor.dtype).copy()
