"""A kernel's run: its cores, what they have allocated, and how two cores meet."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nki._rules import fail
from nki._target import PARTITIONS, PSUM_BANK_BYTES, PSUM_BANKS, PSUM_BYTES, Target

_local = threading.local()
_poison = False


class AddressedMemory:
    """The SBUF or PSUM that tiles with explicit addresses share."""

    def __init__(self, pitch: int, psum: bool):
        self.pitch = pitch
        self.data = np.zeros(PARTITIONS * pitch, np.uint8)
        self.tags = np.zeros(PARTITIONS * pitch, np.uint32)
        self.matmul = np.zeros(PARTITIONS * pitch, np.uint8) if psum else None
        self.owners = 0

    def next_owner(self) -> int:
        self.owners += 1
        return self.owners


class Registers:
    """A reduction register for each partition; `valid` says which hold a value."""

    def __init__(self) -> None:
        self.values = np.zeros(PARTITIONS, np.float32)
        self.valid = np.zeros(PARTITIONS, np.bool_)

    def reset(self, value: float) -> None:
        self.values[:], self.valid[:] = value, True

    def forget(self) -> None:
        """Their content is undefined."""
        self.valid[:] = False


@dataclass
class Core:
    """One physical core's state. `clock` counts instructions."""

    index: int
    target: Target
    run: "Run"
    clock: int = 0
    lives: list["Life"] = field(default_factory=list)
    shared: int = 0
    scalar_registers: Registers = field(default_factory=Registers)
    vector_registers: Registers = field(default_factory=Registers)
    memories: dict[str, AddressedMemory] = field(default_factory=dict)

    def memory(self, region: str) -> AddressedMemory:
        if region not in self.memories:
            psum = region == "psum"
            self.memories[region] = AddressedMemory(PSUM_BYTES if psum else self.target.sbuf_bytes, psum)
        return self.memories[region]

    def check_capacity(self) -> None:
        """Fail if the tiles that live at one time do not fit. Tiles with addresses were checked when allocated."""
        self._check("sbuf", self.target.sbuf_bytes, lambda size: size, "sbuf-capacity", "bytes a partition")
        self._check("psum", PSUM_BANKS, lambda size: -(-size // PSUM_BANK_BYTES), "psum-capacity", "banks")

    def _check(self, region: str, limit: int, measure: Any, rule: str, unit: str) -> None:
        lives = [
            (record.first_write, record.last_access, measure(record.partition_bytes), record)
            for record in self.lives
            if record.region == region and record.first_write is not None
        ]
        events: dict[int, int] = {}
        for first, last, size, _ in lives:
            events[first] = events.get(first, 0) + size
            events[last + 1] = events.get(last + 1, 0) - size
        used = 0
        for clock in sorted(events):
            used += events[clock]
            if used > limit:
                alive = sorted(
                    (r for first, last, _, r in lives if first <= clock <= last), key=lambda r: -r.partition_bytes
                )
                biggest = "; ".join(f"{r.partition_bytes} bytes: {r.label}" for r in alive[:6])
                fail(rule, f"{used} {unit} live at instruction {clock}, the limit is {limit}: {biggest}")


@dataclass
class Life:
    """What liveness needs of a tile, after the tile itself is gone."""

    region: str
    partition_bytes: int
    label: str
    first_write: int | None = None
    last_access: int = 0


class Run:
    """One launch of a kernel. Two cores run in turn: a core runs until it must wait for the other."""

    def __init__(self, target: Target, cores: int, has_grid: bool):
        self.has_grid = has_grid
        self.cores = [Core(index, target, self) for index in range(cores)]
        self.shared: list[Any] = []
        self.turn = 0
        self.done = [False] * cores
        self.failed = False
        self.slots: dict[int, tuple[Any, Any]] = {}
        self.answers: dict[int, Any] = {}
        self.condition = threading.Condition()

    def shared_tensor(self, core: Core, make: Any) -> Any:
        """The next tensor in shared HBM: the n-th that one core allocates is the n-th of the other."""
        place = core.shared
        core.shared += 1
        if place == len(self.shared):
            self.shared.append(make())
            self.shared[-1].shared_by_cores = len(self.cores) == 2
        return self.shared[place]

    def meet(self, core: int, key: Any, payload: Any) -> Any:
        """Wait for the other core to come with the same key, and give its payload."""
        if len(self.cores) == 1:
            fail("core-sync", f"{key[0]} on a launch of one core")
        other = 1 - core
        with self.condition:
            if other in self.slots:
                key_there, payload_there = self.slots.pop(other)
                if key_there != key:
                    fail("core-sync", f"core {core} is at {key}, core {other} at {key_there}")
                self.answers[other] = payload
                return payload_there
            if self.done[other]:
                fail("core-sync", f"core {core} waits at {key}, core {other} has ended")
            self.slots[core] = (key, payload)
            self.turn = other
            self.condition.notify_all()
            self.condition.wait_for(lambda: self.turn == core or self.failed)
            if core not in self.answers:
                if self.failed:
                    raise CoreStopped
                fail("core-sync", f"core {core} waits at {key}, core {other} has ended")
            return self.answers.pop(core)

    def start(self, core: int) -> None:
        """Wait for this core's first turn."""
        with self.condition:
            self.condition.wait_for(lambda: self.turn == core or self.failed)
            if self.failed:
                raise CoreStopped

    def end(self, core: int, failed: bool) -> None:
        with self.condition:
            self.done[core] = True
            self.failed = self.failed or failed
            self.turn = len(self.cores) - 1 - core
            self.condition.notify_all()


class CoreStopped(Exception):
    """The other core failed; its error is the one to report."""


def core() -> Core:
    """The core that runs on this thread."""
    found = getattr(_local, "core", None)
    if found is None:
        raise RuntimeError("this works inside of a kernel only: run the kernel with nki.simulate")
    return found


def running() -> bool:
    """Is a kernel running on this thread?"""
    return getattr(_local, "core", None) is not None


def set_core(value: Core | None) -> None:
    _local.core = value


@contextmanager
def poison_unwritten() -> Iterator[None]:
    """Within, reading memory that was not written, or was overwritten, gives NaN (integers: all bits set), as
    nki.simulate's sentinels do, and is no error: for kernels that compute on such memory and drop the result."""
    global _poison
    _poison = True
    try:
        yield
    finally:
        _poison = False


def poisoning() -> bool:
    return _poison


def tick() -> None:
    """Count an instruction."""
    core().clock += 1
