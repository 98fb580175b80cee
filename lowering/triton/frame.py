"""What the programs of a kernel share: sizes, which batch and head a program is for, and its rows.

The query heads of one KV head lie in one tile together with the queries (packed rows): row r is query r // G of
query head h * G + r % G, so K and V are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from xdsl.dialects.builtin import DYNAMIC_INDEX, StringAttr, i32, i64
from xdsl.ir import Attribute, Operation, SSAValue

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.layout import INNER_DIMS, PAGE_INDICES, used_indices
from flashlower.dialects.tl.constants import constant_size
from flashlower.lowering.triton.builder import COMMENT, KernelBuilder
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.parameters import Parameters


class Sizes:
    """
    Sizes of the iteration dimensions in a kernel, under their names in capitals.

    Static ones are `tl.constexpr`, dynamic ones parameters; either comes into being when it is first used.
    """

    def __init__(self, builder: KernelBuilder, sizes: Mapping[str, int]):
        self.static = sizes
        self._builder = builder
        self._values: dict[str, SSAValue] = {}

    @staticmethod
    def register(parameters: Parameters, host: Host) -> None:
        """Makes parameters of the dynamic sizes."""
        for dim, size in host.sizes.items():
            if size == DYNAMIC_INDEX and dim not in PAGE_INDICES:
                parameters.scalar(dim.upper(), i32, lambda dim=dim: host.size(dim))

    def value(self, dim: str) -> SSAValue:
        """The size of a dimension, i32."""
        if self.static[dim] == DYNAMIC_INDEX:
            return self._builder.arg(dim.upper())
        return self.constexpr(dim.upper(), self.static[dim])

    def constexpr(
        self, name: str, value: int | float, element: Attribute = i32, *, comment: str | None = None
    ) -> SSAValue:
        """`name: tl.constexpr = value`, once; the comment stands above it."""
        if name not in self._values:
            result = self._builder.constexpr(name, value, element)
            if comment is not None and isinstance(result.owner, Operation):
                result.owner.attributes[COMMENT] = StringAttr(comment)
            self._values[name] = result
        return self._values[name]

    def is_one(self, dim: str) -> bool:
        """Whether the dimension is known to have size 1."""
        return self.static[dim] == 1


class Programs:
    """
    Which batch and head a program is for, and which rows.

    Axis 0 of the grid counts tiles of rows fastest, then the group if it is not packed, heads, and batches.
    """

    def __init__(
        self,
        b: KernelBuilder,
        sizes: Sizes,
        block_m: int,
        *,
        pack_group: bool,
        last_first: bool = False,
        heads: int = 1,
        batch: Mapping[str, SSAValue] | None = None,
    ):
        """
        With `last_first` the programs of the last rows come first: they have the most work under a causal mask.
        `heads` share a tile of rows; there is one query then, and all rows fit in a tile.
        `batch` are the indices of a program's batch where the grid does not count batches, i32.
        """
        self._b = b
        self._sizes = sizes
        self.heads = heads
        """KV heads of a program."""
        self.row_dims = row_dims(sizes.static, pack_group)
        self.block_m = sizes.constexpr("BLOCK_M", block_m)
        program = b.program_id(0, name="bh" if batch is None else "h")
        self.row_tile: SSAValue | None = None
        if heads == 1 and not one_row_tile(sizes.static, self.row_dims, block_m):
            program.name_hint = "pid"
            tiles = b.cdiv(self.row_count(), self.block_m, name="num_tiles_m")
            row_tile = b.mod(program, tiles)
            if last_first:
                row_tile = b.sub(b.sub(tiles, 1), row_tile)
            row_tile.name_hint = "pid_m"
            self.row_tile = row_tile
            program = b.floordiv(program, tiles, name="bh" if batch is None else "h")
        self.flat = program
        """The batch (if the grid counts it), head and group of the program as one number."""
        counted = outer_dims(sizes.static, pack_group)
        if batch is None:
            self._narrow = split_index(b, sizes, program, counted, heads)
        else:
            inner = [dim for dim in counted if dim in INNER_DIMS]
            self._narrow = {**batch, **split_index(b, sizes, program, inner, heads)}
        self.indices = {dim: b.cast(index, i64, name=f"off_{dim}") for dim, index in self._narrow.items()}
        """Indices that a program has one of (batch, head, group if not packed), i64; none for sizes of 1."""
        self.rows = self._find_rows()
        """
        The queries ("m") and heads of the group ("g") of the rows, each [BLOCK_M]; none for sizes of 1.

        Where heads share a tile, also these ("h"), counted from the first one of the program.
        """

    def row_count(self) -> SSAValue:
        """The number of rows: queries times packed heads."""
        b = self._b
        sizes = [self._sizes.value(dim) for dim in self.row_dims]
        match sizes:
            case [size]:
                return size
            case [queries, group]:
                return b.mul(queries, group)
            case _:
                return b.constant(1)

    def query_range(self) -> tuple[SSAValue, SSAValue]:
        """The first query of the rows of a program, and the one after the last, in i32."""
        b, queries = self._b, self._sizes.value("m")
        if self.row_tile is None or "m" not in self.row_dims:
            return b.constant(0), queries
        first = b.mul(self.row_tile, self.block_m)
        end = b.add(first, self.block_m)
        if "g" in self.row_dims:
            group = self._sizes.value("g")
            first, end = b.floordiv(first, group), b.cdiv(end, group)
        first.name_hint = "first_m"
        return first, b.minimum(end, queries, name="end_m")

    def _find_rows(self) -> dict[str, SSAValue]:
        b = self._b
        rows = b.arange(0, self.block_m)
        if self.row_tile is not None:
            rows = b.add(b.mul(self.row_tile, self.block_m), rows)
        if self.heads > 1:
            return self._rows_of_heads(rows)
        rows.name_hint = "offs_r" if len(self.row_dims) != 1 else f"offs_{self.row_dims[0]}"
        static = [self._sizes.static[dim] for dim in self.row_dims]
        exact = DYNAMIC_INDEX not in static and prod(static) % constant_size(self.block_m) == 0
        self.row_mask = None if exact else b.lt(rows, self.row_count(), name="mask_r")
        """False for rows beyond the last one, [BLOCK_M]; None if there are none of these."""
        match self.row_dims:
            case [dim]:
                return {dim: rows}
            case [_, _]:
                group = self._sizes.value("g")
                return {
                    "m": b.floordiv(rows, group, name="offs_m"),
                    "g": b.mod(rows, group, name="offs_g"),
                }
            case _:
                return {}

    def _rows_of_heads(self, rows: SSAValue) -> dict[str, SSAValue]:
        b, group = self._b, self._sizes.static["g"]
        rows.name_hint = "offs_r"
        count = self.heads * group
        self.row_mask = None if count == constant_size(self.block_m) else b.lt(rows, count, name="mask_r")
        if group == 1:
            return {"h": rows}
        size = self._sizes.value("g")
        return {"h": b.floordiv(rows, size, name="head_r"), "g": b.mod(rows, size, name="offs_g")}

    def name_indices(self) -> None:
        """Names the 32-bit indices that are used beside their 64-bit forms."""
        for dim, index in self._narrow.items():
            if index.name_hint is None and not index.has_one_use():
                index.name_hint = dim

    def wide_rows(self) -> dict[str, SSAValue]:
        """`rows` in i64, to be multiplied with strides."""
        return {dim: self._b.cast(rows, i64) for dim, rows in self.rows.items()}

    def index(self, dim: str) -> SSAValue:
        """A batch, head or query index in i32: a scalar, or [BLOCK_M, 1] where it differs between rows."""
        if dim in self.rows:
            rows = self._b.rows(self.rows[dim])
            return self._b.add(self._narrow[dim], rows) if dim in self._narrow else rows
        if dim not in self._narrow:
            return self._b.constant(0)
        return self._narrow[dim]

    def query_head(self) -> SSAValue:
        """h * G + g in i32: a scalar, or [BLOCK_M, 1]."""
        b, sizes = self._b, self._sizes
        if sizes.is_one("g"):
            return self.index("h")
        if sizes.is_one("h"):
            return self.index("g")
        return b.add(b.mul(self.index("h"), sizes.value("g")), self.index("g"), name="hq")


def split_index(
    b: KernelBuilder, sizes: Sizes, flat: SSAValue, dims: Sequence[str], heads: int = 1
) -> dict[str, SSAValue]:
    """
    The digits of a number that counts over `dims`, the last one fastest; none for sizes of 1.

    Where it counts `heads` heads as one, the digit of these is the first one.
    """
    tiles = sizes.static["h"] // heads

    def size(dim: str) -> SSAValue:
        return sizes.constexpr("HEAD_TILES", tiles) if dim == "h" and heads > 1 else sizes.value(dim)

    counted = [dim for dim in dims if not (tiles == 1 if dim == "h" and heads > 1 else sizes.is_one(dim))]
    digits: dict[str, SSAValue] = {}
    for dim in reversed(counted[1:]):
        digits[dim] = b.mod(flat, size(dim))
        left = "".join(counted[: counted.index(dim)])
        flat = b.floordiv(flat, size(dim), name=left if len(left) > 1 else None)
    if counted:
        digits[counted[0]] = flat
    if heads > 1 and "h" in digits:
        digits["h"] = b.mul(digits["h"], heads)
    return {dim: digits[dim] for dim in counted}


def row_dims(sizes: Mapping[str, int], pack_group: bool) -> tuple[str, ...]:
    """The dimensions of rows, the slowest first."""
    return tuple(dim for dim in ("m", "g") if sizes[dim] != 1 and (dim == "m" or pack_group))


def outer_dims(sizes: Mapping[str, int], pack_group: bool) -> tuple[str, ...]:
    """The dimensions that programs are counted over, the slowest first."""
    batch = tuple(dim for dim in sizes if dim not in (*INNER_DIMS, *PAGE_INDICES))
    return (*batch, "h", *(() if pack_group else ("g",)))


def one_row_tile(sizes: Mapping[str, int], dims: Sequence[str], block_m: int) -> bool:
    """Whether all rows are known to fit in one tile."""
    static = [sizes[dim] for dim in dims]
    return DYNAMIC_INDEX not in static and prod(static) <= block_m


def can_pack_group(op: AttentionOp) -> bool:
    """
    Whether the heads of a group can share a tile.

    Rows of one tile walk over the same keys, so not where K, V, lengths or pages differ between the heads of a group,
    nor where the schedule says otherwise.
    """
    if op.dim_sizes()["g"] == 1:
        return True
    if op.schedule is not None and op.schedule.option("pack") == 0:
        return False
    own = ("q", "sinks", "out", "lse")
    return not any("g" in used_indices(layout.data) for name, _, layout in op.layouts() if name not in own)
