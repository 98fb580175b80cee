"""`schedule-attention`: writes what the cost model chooses on the operations."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from flashlower.dialects.attention import AttentionOp, CombineOp, ScheduleAttr
from flashlower.rewrites.schedule.measure import MIN_DOT_SIZE
from flashlower.rewrites.schedule.targets import DEFAULT_TARGET, get_target
from flashlower.rewrites.schedule.tiles import choose_schedule


@dataclass(frozen=True)
class ScheduleAttentionPass(ModulePass):
    """
    Writes a schedule on every attention operation that has none: what the options say, and `choose_schedule` for the
    rest. Before `flash-decoding`, the choice is that of the tile that splits are counted in.

    Raises `DiagnosticException` for options that no kernel can have.
    """

    name = "schedule-attention"

    target: str = DEFAULT_TARGET
    """The GPU to choose for: h100, h200, a100 or mi300x."""

    block_m: int | None = None
    """Rows of a tile (queries times head group): a power of two, at least 16."""

    block_n: int | None = None
    """Keys of a tile: a power of two, at least 16."""

    warps: int | None = None
    """Warps of a program."""

    stages: int | None = None
    """Stages of the software pipeline over tiles of keys."""

    splits: int | None = None
    """Runs that the keys of a sequence are cut into, for `flash-decoding`."""

    runs: int | None = None
    """Runs that the keys of all sequences together are cut into, where they have lengths of their own."""

    kernels: int | None = None
    """2 to put splits together in a second kernel, 1 in the last program of the first one to arrive."""

    pdl: int | None = None
    """1 to let launches overlap: a kernel starts while the one before it runs, and waits for its end."""

    pack: int | None = None
    """1 to put the query heads of a KV head into one tile, 0 for a program each."""

    cores: int | None = None
    """The logical cores of a launch of an NKI kernel."""

    keys_on_partitions: int | None = None
    """1 to put keys on the partitions of a tile of logits of an NKI kernel, 0 for rows."""

    transposed: int | None = None
    """1 to lay tiles out transposed, keys in the rows of the logits."""

    heads: int | None = None
    """KV heads that share a tile, of quantised K and V."""

    assembly: int | None = None
    """1 to unpack quantised K and V by assembly for NVIDIA's GPUs."""

    half: int | None = None
    """1 to do the products of quantised K and V in f16 where that is exact, 0 to do them in the type of the query."""

    sequences: int | None = None
    """The most sequences that share a tile of logits of an NKI kernel."""

    constant_strides: int | None = None
    """1 to make the distance between keys of K and of V a constant of the compiled kernel."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = get_target(self.target)
        for attention in op.walk():
            if isinstance(attention, AttentionOp) and attention.schedule is None:
                attention.schedule = self._overridden(choose_schedule(attention, target))
            elif isinstance(attention, CombineOp) and attention.schedule is None:
                attention.schedule = choose_schedule(attention, target)

    def _overridden(self, chosen: ScheduleAttr) -> ScheduleAttr:
        given: dict[str, int | None] = {
            name: value for name in ScheduleAttr.FIELDS if (value := getattr(self, name)) is not None
        }
        if self.transposed == 0:
            # Rows are the long side of the matrix unit then.
            given.setdefault("block_m", max(chosen.block_m.data, MIN_DOT_SIZE))
        if "splits" in given:
            # Splits that a person asks for are splits of each sequence.
            given.setdefault("runs", None)
        try:
            return chosen.replace(**given)
        except VerifyException as e:
            raise DiagnosticException(f"{self.name}: {e}") from e
