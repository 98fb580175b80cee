"""Programs, cores, registers and run-time loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
from nki import _enums, _machine
from nki._dtypes import NUMPY
from nki._enums import member
from nki._operands import overlap
from nki._rules import fail
from nki._storage import MemoryRegion
from nki._target import at_least, nc_version
from nki._tensor import NkiTensor

_LIMITS = {4: 1024, 2: 512, 1: 256}


def program_id(axis: int = 0) -> int:
    """The index of this core in the launch grid."""
    if axis != 0:
        fail("program-axis", f"program_id of axis {axis!r}")
    return _machine.core().index


def num_programs(axes: int = 0) -> int:
    """The cores of the launch."""
    if axes not in (0, (0,)):
        fail("program-axis", f"num_programs of axes {axes!r}")
    return len(_machine.core().run.cores)


def program_ndim() -> int:
    """1 if the kernel was launched with a grid, else 0."""
    return 1 if _machine.core().run.has_grid else 0


def core_barrier(data: NkiTensor, cores: Any, engine: Any = _enums.engine.gpsimd, name: str | None = None) -> None:
    """Both cores wait here; then each may read what the other has written to `data`, which is in shared HBM."""
    _machine.tick()
    at_least(nc_version.gen3, "core_barrier")
    member(engine, _enums.engine, "engine of core_barrier")
    if tuple(cores) != (0, 1):
        fail("core-sync", f"core_barrier of cores {cores}")
    if not isinstance(data, NkiTensor) or data.buffer is not MemoryRegion.shared_hbm:
        fail("core-sync", f"core_barrier on {data}, which is not in shared HBM")
    core = _machine.core()
    core.run.meet(core.index, ("core_barrier", id(data.storage)), None)
    # Both cores are here: the one that comes out later finds the marks already changed.
    tags = data.storage.tags
    tags[tags > 1] = 1


def sendrecv(
    src: NkiTensor,
    dst: NkiTensor,
    send_to_rank: int,
    recv_from_rank: int,
    pipe_id: int,
    dma_engine: Any = _enums.dma_engine.dma,
    name: str | None = None,
) -> None:
    """Send src to the other core's dst, and receive the other's src."""
    _machine.tick()
    at_least(nc_version.gen3, "sendrecv")
    member(dma_engine, _enums.dma_engine, "dma_engine of sendrecv")
    core = _machine.core()
    if (send_to_rank, recv_from_rank) != (1 - core.index, 1 - core.index):
        fail("sendrecv", f"core {core.index} sends to {send_to_rank} and receives from {recv_from_rank}")
    for tensor in (src, dst):
        if tensor.buffer is not MemoryRegion.sbuf:
            fail("sendrecv", f"{tensor} is not in SBUF")
    if src.shape != dst.shape or src.dtype != dst.dtype:
        fail("sendrecv", f"{list(src.shape)} {src.dtype} to {list(dst.shape)} {dst.dtype}")
    item = NUMPY[src.dtype].itemsize
    if dma_engine is _enums.dma_engine.gpsimd_dma and src.free_size * item > _LIMITS[item]:
        fail("sendrecv", f"{src.free_size * item} bytes a partition by gpsimd_dma, at most {_LIMITS[item]}")
    overlap("sendrecv", dst, src)
    sent = (src.read("sendrecv").copy(), src.dtype)
    values, dtype = core.run.meet(core.index, ("sendrecv", pipe_id), sent)
    if values.shape != dst.shape or dtype != dst.dtype:
        fail("sendrecv", f"received {list(values.shape)} {dtype} for {list(dst.shape)} {dst.dtype}")
    dst.write(values, "sendrecv")


class VirtualRegister:
    """A run-time scalar."""

    def __init__(self, state: int | None = None, frozen: bool = False):
        self.state, self.frozen = state, frozen

    def read_register(self) -> int:
        if self.state is None:
            fail("register", "a register is read that nothing has loaded")
        assert self.state is not None
        return self.state

    def set_register(self, value: int) -> None:
        if self.frozen:
            fail("register", "a loop's register is written")
        self.state = value

    def __bool__(self) -> bool:
        return self.read_register() != 0

    def _no_arithmetic(self, *_: Any) -> Any:
        fail("register", "Python arithmetic on a register")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __mod__ = _no_arithmetic
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = _no_arithmetic


def register_alloc(x: int | None = None) -> VirtualRegister:
    """A new register."""
    if x is not None and type(x) is not int:
        fail("register", f"register_alloc({x!r})")
    return VirtualRegister(x)


def register_move(dst: VirtualRegister, src: Any) -> None:
    """dst = src, a number or a register."""
    dst.set_register(src.read_register() if isinstance(src, VirtualRegister) else src)


def _element(tensor: NkiTensor, what: str) -> NkiTensor:
    if not isinstance(tensor, NkiTensor) or tensor.size != 1 or tensor.buffer is MemoryRegion.psum:
        fail("register", f"{what} of {tensor}, which is not one element in HBM or SBUF")
    return tensor


def register_load(dst: VirtualRegister, src: NkiTensor) -> None:
    """dst = the one element of src."""
    _machine.tick()
    dst.set_register(int(_element(src, "register_load").read("register_load").reshape(-1)[0]))


def register_store(dst: NkiTensor, src: VirtualRegister) -> None:
    """The one element of dst = src."""
    _machine.tick()
    _element(dst, "register_store").write(np.array([src.read_register()], np.int64), "register_store")


def _bound(value: Any) -> int:
    return value.read_register() if isinstance(value, VirtualRegister) else value


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[VirtualRegister], None], step: int = 1) -> None:
    """body_fun(i) for i from lower to upper, exclusive, on the device."""
    if type(step) is not int or step <= 0:
        fail("loop", f"the step {step!r} of fori_loop")
    for i in range(_bound(lower), _bound(upper), step):
        if body_fun(VirtualRegister(i, frozen=True)) is not None:
            fail("loop", "the body of fori_loop returns a value")


def while_loop(init: VirtualRegister, body_fun: Callable[[VirtualRegister], VirtualRegister]) -> None:
    """`r = body_fun(r)` while r is not 0, on the device."""
    register = init
    while register.read_register() != 0:
        register = body_fun(VirtualRegister(register.read_register()))
        if not isinstance(register, VirtualRegister):
            fail("loop", "the body of while_loop returns the register of the next condition")
