"""The machines that the model knows: trn1 (and inf2), trn2, trn3."""

import os
from dataclasses import dataclass
from enum import IntEnum

from nki._rules import fail

PARTITIONS = 128
PSUM_BANK_BYTES = 2048
PSUM_BANKS = 8
PSUM_BYTES = PSUM_BANK_BYTES * PSUM_BANKS
VARIABLE = "NEURON_PLATFORM_TARGET_OVERRIDE"


class nc_version(IntEnum):
    """NeuronCore version."""

    gen2 = 2
    gen3 = 3
    gen4 = 4


@dataclass(frozen=True)
class Target:
    """A NeuronCore. `sbuf_bytes` is a partition's SBUF."""

    name: str
    version: nc_version
    sbuf_bytes: int


_TRN1 = Target("trn1", nc_version.gen2, 192 * 1024)
_TRN2 = Target("trn2", nc_version.gen3, 224 * 1024)
_TRN3 = Target("trn3", nc_version.gen4, 256 * 1024)
TARGETS = {"trn1": _TRN1, "inf2": _TRN1, "trn2": _TRN2, "trn3": _TRN3, "gen2": _TRN1, "gen3": _TRN2, "gen4": _TRN3}


def target() -> Target:
    """The target that the documented environment variable names; trn3 without it, as `nki.simulate` does."""
    name = os.environ.get(VARIABLE, "trn3")
    if name not in TARGETS:
        raise ValueError(f"{VARIABLE} is {name!r}; it takes {', '.join(TARGETS)}")
    return TARGETS[name]


def at_least(version: nc_version, what: str) -> None:
    """Fail unless the target has `what`."""
    if target().version < version:
        fail("target", f"{what} needs NeuronCore-v{version} or newer, the target is {target().name}")
