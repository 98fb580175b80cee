"""What the cost model knows of GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.utils.exceptions import DiagnosticException

LOAD_SECONDS = 2.8e-6
"""
What a load takes where memory is busy: as many bytes as come in that time must be under way to keep it so. Fitted to
the schedules that were best on an H100 and an H200 (`benchmarks/schedules/quantized`).
"""


@dataclass(frozen=True)
class TargetDescription:
    """What the cost model needs to know of a GPU."""

    name: str
    """The name that passes and targets take."""
    cores: int
    """Streaming multiprocessors, or compute units."""
    shared_memory_bytes: int
    """Shared memory that one program may have."""
    bandwidth_gb_s: int
    """Memory bandwidth by the data sheet, in GB/s."""
    programs_per_core: int = 2
    """Programs that should run on one core at once, so that one loads while another computes."""
    max_stages: int = 3
    """Stages of a software pipeline over tiles of keys that the hardware has use for."""
    compute_capability: int | None = None
    """Of NVIDIA's GPUs, times ten; None for others, which do not run their assembly."""

    @property
    def bytes_in_flight(self) -> int:
        """What a core should have asked for at any time: less leaves memory idle, more makes loads slower."""
        return int(self.bandwidth_gb_s * 1e9 * LOAD_SECONDS / self.cores)

    @property
    def overlaps_launches(self) -> bool:
        """Whether a kernel may start while the one before it ends (programmatic dependent launch)."""
        return self.compute_capability is not None and self.compute_capability >= 90


TARGETS = {
    target.name: target
    for target in (
        TargetDescription("h100", cores=132, shared_memory_bytes=232448, bandwidth_gb_s=3350, compute_capability=90),
        TargetDescription("h200", cores=132, shared_memory_bytes=232448, bandwidth_gb_s=4800, compute_capability=90),
        TargetDescription("a100", cores=108, shared_memory_bytes=166912, bandwidth_gb_s=2039, compute_capability=80),
        # Two stages: loads go through registers, and the local data share is small.
        TargetDescription("mi300x", cores=304, shared_memory_bytes=65536, bandwidth_gb_s=5300, max_stages=2),
    )
}

DEFAULT_TARGET = "h100"


def get_target(name: str) -> TargetDescription:
    """The description of a target by its name. Raises `DiagnosticException` for a name that is not in `TARGETS`."""
    if (target := TARGETS.get(name)) is None:
        raise DiagnosticException(f"unknown target '{name}', expected one of {', '.join(TARGETS)}")
    return target
