"""Enumerations of nki.isa."""

from enum import Enum
from typing import Any

from nki._rules import fail


class engine(Enum):
    """Neuron Device engines."""

    unknown = 0
    tensor = 1
    scalar = 2
    gpsimd = 3
    dma = 4
    vector = 5
    sync = 6


class reduce_cmd(Enum):
    """What an instruction does with the reduction registers."""

    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class dge_mode(Enum):
    """Who generates DMA descriptors."""

    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3


class oob_mode(Enum):
    """What happens to an index out of bounds."""

    error = 0
    skip = 1


class matmul_perf_mode(Enum):
    """Double FP8 performance."""

    none = "none"
    double_row = "double_row"


class dma_engine(Enum):
    """How sendrecv moves data."""

    dma = 0
    gpsimd_dma = 1


def member(value: Any, kind: type[Enum], what: str) -> None:
    """Fail unless `value` is a member of `kind`."""
    if not isinstance(value, kind):
        fail("enum", f"{what} is {value!r}, not a member of nki.isa.{kind.__name__}")


def check_engine(value: Any, allowed: tuple[engine, ...], what: str) -> None:
    """Fail unless `value` is unknown or one of `allowed`."""
    member(value, engine, f"engine of {what}")
    if value is not engine.unknown and value not in allowed:
        fail("engine", f"{what} does not run on {value}")
