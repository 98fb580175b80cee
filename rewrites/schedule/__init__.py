"""
The cost model of attention kernels: target descriptions, tile sizes and numbers of splits.

`schedule-attention` writes its choice on the operations as `#attention.schedule`, which a person may write by hand
as well; kernels read the attribute and nothing else. `targets` describes GPUs, `measure` has the sizes that choices
are made of, `tiles` chooses tiles, warps and stages, `unpacking` those of quantised K and V, `splits` the runs of keys.
"""

from flashlower.rewrites.schedule.measure import MIN_DOT_SIZE, block_rows, next_power_of_two, reached_keys
from flashlower.rewrites.schedule.schedule_attention import ScheduleAttentionPass
from flashlower.rewrites.schedule.splits import DEFAULT_MAX_SPLITS, DEFAULT_MIN_CHUNK, choose_runs, choose_splits
from flashlower.rewrites.schedule.targets import DEFAULT_TARGET, TARGETS, TargetDescription, get_target
from flashlower.rewrites.schedule.tiles import choose_schedule, concurrent_programs
from flashlower.rewrites.schedule.unpacking import heads_obstacle

__all__ = [
    "DEFAULT_MAX_SPLITS",
    "DEFAULT_MIN_CHUNK",
    "DEFAULT_TARGET",
    "MIN_DOT_SIZE",
    "TARGETS",
    "ScheduleAttentionPass",
    "TargetDescription",
    "block_rows",
    "choose_runs",
    "choose_schedule",
    "choose_splits",
    "concurrent_programs",
    "get_target",
    "heads_obstacle",
    "next_power_of_two",
    "reached_keys",
]
