"""Into how many runs keys are cut: those of a sequence, and those of sequences with lengths of their own."""

from __future__ import annotations

import math

from xdsl.dialects.builtin import DYNAMIC_INDEX

from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, used_indices
from flashlower.rewrites.schedule.measure import block_rows
from flashlower.rewrites.schedule.targets import TargetDescription

RAGGED_CHUNK = 4096
"""Keys of a split where lengths differ."""

MAX_RAGGED_SPLITS = 32
"""The most splits for that reason alone."""

MAX_DECODE_ROWS = 64
"""Queries times head group of a decoding step."""

DEFAULT_MIN_CHUNK = 64
DEFAULT_MAX_SPLITS = 128


def choose_splits(
    batch_heads: int,
    m_rows: int,
    n: int,
    slots: int,
    *,
    block_n: int,
    ragged_chunk: int | None = None,
    fill: int = 0,
    min_chunk: int = DEFAULT_MIN_CHUNK,
    max_splits: int = DEFAULT_MAX_SPLITS,
) -> int:
    """
    The number of runs to cut `n` keys into.

    One, if `batch_heads` (batch times KV heads) times the tiles of `m_rows` (queries times head group) fill 80% of
    the `slots` already: cores times `concurrent_programs`. Else the fewest with which the busiest slot has at most 3%
    more tiles than with any other number: waves of one program a slot, times the tiles of the longest run.

    `fill`: the tiles that could be read while a program fills its pipeline and stores its result.

    `ragged_chunk`: where sequences have lengths of their own up to `n`, a slot that has a long one is busy when all
    others are done. So no run is longer than this many keys, up to `MAX_RAGGED_SPLITS` of them. None for equal lengths.

    Never more than `max_splits` or than tiles of `block_n` keys, and no split has fewer than `min_chunk` keys, nor
    than eight times `m_rows`: below that, writing and reading the partial results in f32 costs over a quarter of
    reading K and V in 16 bits. So prefill (`m_rows` near `n`) and short sequences are not split.
    """
    work = batch_heads * math.ceil(m_rows / block_rows(m_rows))
    tiles = math.ceil(n / block_n)
    chunk = max(min_chunk, 8 * m_rows)

    def eligible(splits: int) -> bool:
        # Runs are of floor or ceil(tiles / splits) tiles; the last is of the longer kind and loses the tail of n.
        longest = math.ceil(tiles / splits)
        shortest = min(tiles // splits * block_n, longest * block_n - (tiles * block_n - n))
        # A further split that does not shorten the longest run only adds work.
        return shortest >= chunk and longest < math.ceil(tiles / (splits - 1))

    def busiest(splits: int) -> int:
        return math.ceil(work * splits / slots) * (math.ceil(tiles / splits) + fill)

    candidates = [1, *(s for s in range(2, min(max_splits, tiles) + 1) if eligible(s))]
    most = 1 if ragged_chunk is None else ragged_splits(n, ragged_chunk)
    least = max(s for s in candidates if s <= most)
    if work >= 0.8 * slots:
        return least
    best = min(map(busiest, candidates))
    return max(least, next(s for s in candidates if busiest(s) <= 1.03 * best))


def ragged_splits(n: int, chunk: int) -> int:
    """The runs of up to `chunk` keys of a sequence with up to `n`."""
    return min(math.ceil(n / chunk), MAX_RAGGED_SPLITS)


def choose_runs(programs: int, cores: int, programs_per_core: int, resident: int) -> int:
    """
    How many runs of equal length the keys of all sequences should be cut into, where lengths differ: each has so many
    `programs`, those of its KV heads.

    As many as give every core `programs_per_core` of them, since more wait for each other; or more, up to the
    `resident` that a core holds at once, where that leaves fewer than 5% of these places free.
    """
    found: list[tuple[float, int]] = []
    for each in range(programs_per_core, max(programs_per_core, resident) + 1):
        runs = max(each * cores // programs, 1)
        waves = math.ceil(runs * programs / cores)
        found.append((runs * programs / (waves * cores), runs))
        if found[-1][0] >= 0.95:
            return runs
    return max(found, key=lambda item: item[0])[1]


def runs_of(op: SdpaOp, sizes: dict[str, int], target: TargetDescription, resident: int) -> int | None:
    """The runs that the keys of all sequences should be cut into; None where each sequence has splits of its own."""
    if op.kv_lens_layout is None:
        return None
    batch = [name for name in sizes if name not in INNER_DIMS]
    if DYNAMIC_INDEX in [sizes[name] for name in (*batch, *"hgmn")]:
        return None
    # Few warps unpack codes, and a loop over runs of several sequences keeps them waiting: measured at half the speed.
    if op.lanes():
        return None
    # Lengths that differ between heads, and windows, of which the length says nothing.
    if not used_indices(op.kv_lens_layout.data) <= {*batch} or (op.reach is not None and op.reach.lower):
        return None
    sequences, rows = math.prod(sizes[name] for name in batch), sizes["m"] * sizes["g"]
    if sequences < 2 or sizes["h"] == 0 or not 0 < rows <= MAX_DECODE_ROWS or sizes["n"] <= RAGGED_CHUNK:
        return None
    programs = sizes["h"] * math.ceil(rows / block_rows(rows))
    return choose_runs(programs, target.cores, target.programs_per_core, resident)
