"""
What `#attention.schedule` says to NKI kernels, and the choice of one where an operation has none.

- `block_m`: the most rows (queries times head group) of a tile of logits; 128 at most.
- `block_n`: the keys of a step, which one DMA loads: whole tiles of 128, 512 at most (a bank of PSUM).
- `splits`: the runs of keys of flash decoding; `flash-decoding` reads it.
- `cores`: the logical cores of a launch.
- `keys_on_partitions`: 1 and 0 are the two arrangements of a tile of logits.
- `sequences`: with keys on the partitions, how many sequences of a batch share a tile of logits at most.

The other fields are about GPUs. A choice is made by the cost account of the kernels themselves (`cost.py`): of the two
arrangements, and of tiles of one sequence and of as many as fit, those whose busiest engine has less to do; where that
is the same, those with which the Vector and Scalar engines have less.
"""

from __future__ import annotations

from dataclasses import dataclass

from flashlower.dialects.attention import AttentionOp, ScheduleAttr
from flashlower.dialects.nki.types import PARTITIONS

STEP_KEYS = 512
"""Keys of a step at most: the f32 columns of a bank of PSUM."""

ARRANGEMENTS = ("keys", "rows")
"""What lies on the partitions of a tile of logits."""


@dataclass(frozen=True)
class NkiSchedule:
    """The schedule of one operation, in the units of NKI kernels."""

    arrangement: str
    """keys or rows."""
    rows: int = PARTITIONS
    """The most rows of a tile of logits."""
    step: int = STEP_KEYS
    """The keys of a step."""
    sequences: int | None = None
    """The most sequences that share a tile of logits, with keys on the partitions; None for as many as fit."""

    @staticmethod
    def of(op: AttentionOp, arrangement: str) -> NkiSchedule:
        """That of an operation, with an arrangement where it names none."""
        attr = op.schedule
        if attr is None:
            return NkiSchedule(arrangement)
        if (on_partitions := attr.option("keys_on_partitions")) is not None:
            arrangement = "keys" if on_partitions else "rows"
        step = -(-attr.block_n.data // PARTITIONS) * PARTITIONS
        rows = min(attr.block_m.data, PARTITIONS)
        return NkiSchedule(arrangement, rows, min(step, STEP_KEYS), attr.option("sequences"))

    def attribute(self, cores: int) -> ScheduleAttr:
        """The attribute that says the same; an NKI kernel has no warps and no stages."""
        on_partitions = int(self.arrangement == "keys")
        return ScheduleAttr(
            self.rows, self.step, 1, 1, cores=cores, keys_on_partitions=on_partitions, sequences=self.sequences
        )
