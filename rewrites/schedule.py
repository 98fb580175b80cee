"""The cost model of attention kernels: target descriptions, tile sizes and numbers of splits.

`schedule-attention` writes its choice on the operations as `#attention.schedule`, which a person may write by hand
as well; kernels read the attribute and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import Literal, cast

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, FixedBitwidthType, ModuleOp, TensorType, i32
from xdsl.ir import Attribute
from xdsl.ir.affine import AffineExpr
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, VerifyException

from flashlower.dialects.attention import AttentionOp, CombineOp, PartialOp, ScheduleAttr, SdpaOp
from flashlower.dialects.attention.layout import INNER_DIMS, index_names, layout_terms, used_indices


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

MIN_DOT_SIZE = 16
"""The least size of a block in `tl.dot`."""

DECODE_ROWS = 8
"""Up to so many rows, tiles of words lie transposed: that is the short side of the matrix unit."""

WARPS_PER_CORE = 8
"""Warps that a core should have of programs that unpack words."""

STAGE_BYTES = 32768
"""What one stage of K and V should load: two programs of three stages keep over 64 KB a core in flight."""

ASSUMED_HEAD_SIZE = 128
"""The size that a dynamic head size is taken for."""

RAGGED_CHUNK = 4096
"""Keys of a split where lengths differ."""

MAX_RAGGED_SPLITS = 32
"""The most splits for that reason alone."""

MIN_PAGED_TILE = 32
"""Tiles of at least so many keys lie inside of one page where the page size allows it: one page number serves all."""

OVERLAP_BYTES = 48 << 20
"""Up to so much of K and V, a call is over so soon that launches should overlap; beyond, they disturb each other."""

MAX_DECODE_ROWS = 64
"""Queries times head group of a decoding step."""

DEFAULT_MIN_CHUNK = 64
DEFAULT_MAX_SPLITS = 128


def get_target(name: str) -> TargetDescription:
    """The description of a target by its name. Raises `DiagnosticException` for a name that is not in `TARGETS`."""
    if (target := TARGETS.get(name)) is None:
        raise DiagnosticException(f"unknown target '{name}', expected one of {', '.join(TARGETS)}")
    return target


def next_power_of_two(value: int) -> int:
    """The least power of two that is not below `value` (1 for values below 2)."""
    return 1 << max(value - 1, 0).bit_length()


def block_rows(rows: int) -> int:
    """`block_m` for a number of packed rows (queries times head group): 16 to 64, or 128 from 65 rows on."""
    return min(max(next_power_of_two(rows), 16), 128)


def choose_schedule(
    op: AttentionOp | CombineOp, target: TargetDescription, sizes: dict[str, int] | None = None
) -> ScheduleAttr:
    """
    The tiles, warps and stages for one operation.

    For `attention.sdpa` and `attention.partial`: `block_m` covers the packed rows in one tile where it can;
    `block_n` is what one stage should load, and with its stages and the tile of Q it fits in the share of a core's
    shared memory that one program gets. `block_n` divides the tile of a partial, and the page size where that leaves
    tiles of `MIN_PAGED_TILE` keys. A dynamic number of rows gets tiles of 64, a dynamic head size is taken for 128.
    Quantised K and V in words of 32 bits are unpacked by assembly where the target has it; up to 16 rows few warps do
    that, up to `DECODE_ROWS` in tiles that lie transposed.

    For `attention.combine`, `block_m` is the number of rows (at least 16), `block_n` the number of splits, rounded
    up to a power of two of at least 16; a kernel that reduces one row a program needs no more of it than the warps.

    An `attention.sdpa` of a decoding step gets `runs` where `choose_runs` says so, and `pdl` where K and V have up to
    `OVERLAP_BYTES`.

    `sizes` are the operation's `dim_sizes`, for who has them already.

    Raises `DiagnosticException` for a partial whose tile no `block_n` divides.
    """
    if sizes is None:
        sizes = op.dim_sizes()
    rows = _packed_rows(sizes)
    if isinstance(op, CombineOp):
        return ScheduleAttr(
            block_m=64 if rows is None else block_rows(rows),
            block_n=max(next_power_of_two(op.num_splits), 16),
            warps=4 if _static(sizes["d"]) >= 64 else 2,
            stages=1,
        )

    key_size, value_size = (next_power_of_two(max(_static(sizes[name]), 16)) for name in "kd")
    floats = [op.query, *(value for name, value in (("k", op.key), ("v", op.value)) if name not in op.lanes())]
    element_bytes = max(_element_bytes(value.type) for value in floats)
    block_m = 64 if rows is None else block_rows(rows)
    if element_bytes > 2:
        # Accumulator, logits and Q are in registers, and wide types leave the tensor cores: smaller tiles win.
        block_m = max(16, min(block_m, 64, 64 * 128 // value_size))
    while block_m > 16 and block_m * value_size * 4 > target.shared_memory_bytes:
        # The accumulator, in f32, goes through shared memory on its way out.
        block_m //= 2
    key_bytes = _key_bytes(op, sizes)
    most_keys = 64
    unpacks = {"assembly": 1} if op.lanes() and _has_assembly(op, target) else {}
    warps = 8 if block_m * value_size > 128 * 128 else 4
    if unpacks and len(op.lanes()) == 2 and block_m == 16:
        warps, most_keys = _unpacking_tile(op, key_bytes, target)
        if rows is not None and rows <= DECODE_ROWS:
            block_m, unpacks = DECODE_ROWS, {"transposed": 1, **unpacks}
            if _pairs_heads(op, rows):
                warps, most_keys, unpacks = 2, 32, {"heads": 2, **unpacks}
    elif len(op.lanes()) == 2 and block_m == 16 and target.compute_capability is not None and not _packs_floats(op):
        # Here too every warp unpacks all of V; the exponents of packed 8-bit floats are work that more warps share.
        warps, most_keys = 1, 32
    block_n = min(max(STAGE_BYTES // key_bytes, 16), most_keys)
    block_n = 1 << (block_n.bit_length() - 1)
    if op.page_size and (aligned := op.page_size & -op.page_size) >= MIN_PAGED_TILE:
        block_n = min(block_n, aligned)
    if isinstance(op, PartialOp):
        tile = op.tile.value.data
        block_n = min(block_n, tile & -tile)
        if block_n < 16:
            raise DiagnosticException(
                f"attention.partial has tile {tile}, but a kernel needs a multiple of 16: split with another tile"
            )

    budget = target.shared_memory_bytes // target.programs_per_core - block_m * key_size * element_bytes
    # A prefill kernel with three stages leaves room for one program on a core, and two overlap better.
    stages = min(target.max_stages, 2 if block_m == 128 else target.max_stages)
    if warps == 1 and key_bytes > 128:
        stages = min(stages, 2)
    while block_n > 16 and stages * block_n * key_bytes > budget:
        block_n //= 2
    while stages > 1 and stages * block_n * key_bytes > budget:
        stages -= 1
    runs = pdl = None
    if isinstance(op, SdpaOp):
        resident = target.shared_memory_bytes // (max(stages - 1, 1) * block_n * key_bytes + block_m * key_size * 4)
        runs = _runs_of(op, sizes, target.cores, max(resident, 1))
        if runs is not None and not unpacks and key_size + value_size <= 128:
            warps = 2
        pdl = 1 if target.overlaps_launches and _is_short(op, sizes, key_bytes) else None
    return ScheduleAttr(block_m, block_n, warps, stages, runs=runs, pdl=pdl, **unpacks)


def _runs_of(op: SdpaOp, sizes: dict[str, int], cores: int, resident: int) -> int | None:
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
    return sequences * choose_runs(sequences * sizes["h"], cores, cores * resident)


def choose_runs(work: int, cores: int, slots: int) -> int:
    """
    How many runs a sequence should have on average, where lengths differ: `work` is sequences times KV heads, `slots`
    are the programs that all cores hold at once.

    The fewest that give a core nearly two programs, and that leave no small rest of them for the end: all programs are
    there at once, those that are left over by short sequences included, or the last wave fills 80% of the slots, or
    there are four waves. Some GPUs take 5% longer where a smaller rest is left.
    """
    runs = max(math.ceil(1.9 * cores / work), 1)
    while not (
        (runs + 1) * work <= slots
        or (runs * work > slots and (runs * work % slots >= 0.8 * slots or runs * work >= 4 * slots))
    ):
        runs += 1
    return runs


def _is_short(op: SdpaOp, sizes: dict[str, int], key_bytes: int) -> bool:
    """Whether an operation is a decoding step over little K and V; `key_bytes` are those of one key."""
    work = [size for name, size in sizes.items() if name not in INNER_DIMS] + [sizes["h"]]
    if DYNAMIC_INDEX in (*work, sizes["m"], sizes["g"], sizes["n"]) or sizes["m"] * sizes["g"] > MAX_DECODE_ROWS:
        return False
    return math.prod(work) * reached_keys(op, sizes["m"], sizes["n"]) * key_bytes <= OVERLAP_BYTES


def reached_keys(op: AttentionOp, queries: int, keys: int) -> int:
    """The most keys of `keys` that `queries` queries reach, as far as the bounds of the operation say."""
    if op.reach is None:
        return keys
    ends = [AffineExpr.constant(keys)]
    lengths = (op.kv_lens, op.kv_lens_layout)
    ends += [AffineExpr.symbol(i) for i, scalar in enumerate(op.bounds.scalars) if scalar == lengths]
    reached = op.reach.most_keys(queries, ends)
    return keys if reached is None else min(keys, reached)


def concurrent_programs(op: AttentionOp, block_n: int, target: TargetDescription) -> int:
    """
    Programs that a core should run at once: small heads make small tiles, of which it takes more to keep it busy, and
    small programs that unpack words use few of its threads.
    """
    schedule = op.schedule or choose_schedule(op, target)
    if op.lanes() and (warps := schedule.warps.data) < 4:
        return WARPS_PER_CORE // warps
    return min(max(STAGE_BYTES // (block_n * _key_bytes(op, op.dim_sizes())), 1), target.programs_per_core)


def choose_splits(
    batch_heads: int,
    m_rows: int,
    n: int,
    slots: int,
    *,
    block_n: int,
    ragged: bool = False,
    min_chunk: int = DEFAULT_MIN_CHUNK,
    max_splits: int = DEFAULT_MAX_SPLITS,
) -> int:
    """
    The number of runs to cut `n` keys into.

    One, if `batch_heads` (batch times KV heads) times the tiles of `m_rows` (queries times head group) fill 80% of
    the `slots` already: cores times `concurrent_programs`. Else the fewest with which the busiest slot has at most 3%
    more tiles than with any other number: waves of one program a slot, times the tiles of the longest run.

    `ragged`: sequences have lengths of their own up to `n`, and a slot that has a long one is busy when all others
    are done. Then no run is longer than `RAGGED_CHUNK` keys, up to `MAX_RAGGED_SPLITS` of them.

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
        return math.ceil(work * splits / slots) * math.ceil(tiles / splits)

    candidates = [1, *(s for s in range(2, min(max_splits, tiles) + 1) if eligible(s))]
    most = min(math.ceil(n / RAGGED_CHUNK), MAX_RAGGED_SPLITS) if ragged else 1
    least = max(s for s in candidates if s <= most)
    if work >= 0.8 * slots:
        return least
    best = min(map(busiest, candidates))
    return max(least, next(s for s in candidates if busiest(s) <= 1.03 * best))


def _packed_rows(sizes: dict[str, int]) -> int | None:
    return None if DYNAMIC_INDEX in (sizes["m"], sizes["g"]) else sizes["m"] * sizes["g"]


def _static(size: int) -> int:
    return ASSUMED_HEAD_SIZE if size == DYNAMIC_INDEX else size


def _key_bytes(op: AttentionOp, sizes: dict[str, int]) -> int:
    """The bytes of K and V that a tile holds of one key; where they are quantised, those of the codes."""
    total = 0
    lanes = op.lanes()
    for name, dim, value in (("k", "k", op.key), ("v", "d", op.value)):
        elements = max(next_power_of_two(_static(sizes[dim]) // lanes.get(name, 1)), 16)
        total += elements * _element_bytes(value.type)
    return total


def _has_assembly(op: AttentionOp, target: TargetDescription) -> bool:
    """Whether quantised K and V lie in words that the target has assembly for."""
    capability = target.compute_capability
    for name, value in (("k", op.key), ("v", op.value)):
        quantization = op.quantization(name)
        if quantization is None:
            continue
        element = cast(TensorType[Attribute], value.type).element_type
        # 8-bit floats are converted by an instruction of compute capability 8.9.
        if element != i32 or capability is None or (quantization.attr.is_float and capability < 89):
            return False
    return True


def _packs_floats(op: AttentionOp) -> bool:
    """Whether 8-bit floats share the elements of integers."""
    attrs = [(op.key_quantization, "k"), (op.value_quantization, "v")]
    return any(attr is not None and attr.is_float and op.lanes()[name] > 1 for attr, name in attrs)


def _unpacking_tile(op: AttentionOp, key_bytes: int, target: TargetDescription) -> tuple[int, int]:
    """
    The warps of a program that unpacks words of `key_bytes` a key for a decode step, and the keys of a tile.

    Every warp unpacks all of V, so there are few. What is best was measured (docs/benchmarks.md): with one warp and
    tiles of 32 keys more programs are on a core at once, two warps and 64 keys need fewer of them.
    """
    if key_bytes > 256:
        return 4, 64
    if key_bytes > 128:
        work = [size for name, size in op.dim_sizes().items() if name not in ("g", "m", "n", "k", "d")]
        return (1, 32) if DYNAMIC_INDEX in work or prod(work) >= target.cores else (2, 64)
    match _channel_scales(op):
        case "value":
            return 2, 64
        case "lane":
            return 1, 32
        case _:
            return 1, 64


def _pairs_heads(op: AttentionOp, rows: int) -> bool:
    """
    Whether pairs of heads should share a tile: tokens of a page lie outside of its heads, so that a head has few bytes
    of a token together, and values have scales of their own, of which there are as many pieces.
    """
    if _channel_scales(op) != "value" or heads_obstacle(op, 2, DECODE_ROWS) is not None:
        return False
    layout = op.key_layout.data
    names = index_names(layout.num_dims - len(INNER_DIMS))
    order = [names[term.dim] for terms in layout_terms(layout) for term in terms]
    return "h" in order and any(dim in order[: order.index("h")] for dim in ("slot", "n"))


def heads_obstacle(op: AttentionOp, heads: int, block_m: int) -> str | None:
    """Why so many KV heads cannot share a tile of rows; None if they can."""
    sizes = op.dim_sizes()
    if sizes["m"] != 1 or not 0 < sizes["g"] * heads <= block_m:
        return f"a tile of {block_m} rows is for one query of each of their query heads"
    if sizes["h"] == DYNAMIC_INDEX or sizes["h"] % heads:
        return f"their number must be a multiple of {heads}"
    for name in ("k", "v"):
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None or packing.lanes == 1:
            return f"codes of {name} must share elements"
        if packing.width < MIN_DOT_SIZE or packing.width & (packing.width - 1):
            return f"{name} has {packing.width} elements, expected a power of two of at least {MIN_DOT_SIZE}"
        for part, shared in quantization.shared():
            group = shared.channel_group
            outside = group is None or (packing.planar and group % packing.width == 0)
            if outside and "h" in used_indices(shared.layout.data):
                return f"{name}_{part} is one for many channels, but not for all heads"
    own = ("q", "sinks", "out", "lse", "k", "v")
    for name, _, layout in op.layouts():
        used = used_indices(layout.data)
        if (name not in own and not name.startswith(("k_", "v_")) and "h" in used) or (
            "g" in used and name not in own[:4]
        ):
            return "they have other keys"
    return None


def _channel_scales(op: AttentionOp) -> Literal["value", "lane"] | None:
    """Whether scales differ between the channels of a key: from value to value, or from lane to lane of the words."""
    found: Literal["value", "lane"] | None = None
    for name in op.lanes():
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None or quantization.scale is None:
            continue
        group = quantization.scale.channel_group
        if group is not None and not (packing.planar and group % packing.width == 0):
            return "value"
        if group is not None:
            found = "lane"
    return found


def _element_bytes(type: Attribute) -> int:
    return cast(FixedBitwidthType, cast(TensorType[Attribute], type).element_type).size


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
    """1 to let the second kernel start while the first one ends."""

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

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = get_target(self.target)
        for attention in op.walk():
            if isinstance(attention, AttentionOp) and attention.schedule is None:
                attention.schedule = self._overridden(choose_schedule(attention, target))
            elif isinstance(attention, CombineOp) and attention.schedule is None:
                attention.schedule = choose_schedule(attention, target)

    def _overridden(self, chosen: ScheduleAttr) -> ScheduleAttr:
        given = {name: value for name in ScheduleAttr.FIELDS if (value := getattr(self, name)) is not None}
        if self.transposed == 0:
            # Rows are the long side of the matrix unit then.
            given.setdefault("block_m", max(chosen.block_m.data, MIN_DOT_SIZE))
        try:
            return chosen.replace(**given)
        except VerifyException as e:
            raise DiagnosticException(f"{self.name}: {e}") from e
