"""One attention operation as a kernel sees it: its tensors in HBM, its sizes, and how its rows are cut into blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd, prod

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    Float16Type,
    Float32Type,
    TensorType,
    bf16,
    f32,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp, CombineOp
from flashlower.dialects.attention.bounds import KeyIntervalAttr
from flashlower.dialects.attention.layout import INNER_DIMS
from flashlower.dialects.nki.types import PARTITIONS, Hardware, element_bytes, is_float8, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.builder import KernelBuilder, Sum

TensorOf = TensorType[Attribute]


ONE_SHAPE = (
    "NKI traces a kernel for one shape; give all sizes and convert once for each shape, or give the longest sequence "
    "and its length at run time as kv_lens"
)
"""What to do about a dynamic dimension."""


@dataclass(frozen=True)
class Machine:
    """What a kernel is made for: the hardware, and how many of its cores share the work."""

    hardware: Hardware
    cores: int


@dataclass(frozen=True)
class Outputs:
    """Where the results of an operation go; None where nobody wants one."""

    out: Access | None
    lse: Access | None = None
    sum: Access | None = None


@dataclass(frozen=True)
class Pages:
    """Where the pages of a sequence are listed."""

    table: Access
    """The block table, with a stride for `p`, and for `row` where there are rows."""
    rows: Access | None
    """The row of the table that is a sequence's; None where it follows from the batch dimensions."""
    size: int
    """The keys of a page."""
    number: int
    """The pages that the table lists for a sequence."""


def static_sizes(op: AttentionOp | CombineOp) -> dict[str, int]:
    """The sizes of the iteration dimensions; raises `DiagnosticException` where one is dynamic."""
    sizes = op.dim_sizes()
    for name, size in sizes.items():
        if size == DYNAMIC_INDEX:
            raise DiagnosticException(f"{op.name} has a dynamic dimension {name}: {ONE_SHAPE}")
    return sizes


class Problem:
    """The operands of one `attention.sdpa` or `attention.partial` in a kernel."""

    def __init__(self, op: AttentionOp, tensors: Mapping[SSAValue, SSAValue]):
        self.op = op
        self.sizes = static_sizes(op)
        self.tensors = tensors
        self.query, self.key, self.value = (
            self._access(value, layout)
            for value, layout in (
                (op.query, op.query_layout),
                (op.key, op.key_layout),
                (op.value, op.value_layout),
            )
        )
        self.kv_lens = None
        if op.kv_lens is not None and op.kv_lens_layout is not None:
            self.kv_lens = self._of_key_values(op.kv_lens, op.kv_lens_layout, "kv_lens")
        self.pages = self._pages()
        self.sinks = None
        if op.sinks is not None and op.sinks_layout is not None:
            self.sinks = self._access(op.sinks, op.sinks_layout)
        if 0 in self.sizes.values():
            raise DiagnosticException(f"{op.name} has an empty dimension: there is nothing for a kernel to do")

    def _pages(self) -> Pages | None:
        op = self.op
        if op.block_table is None or op.block_table_layout is None:
            return None
        sizes = op.index_sizes()
        table = self._of_key_values(op.block_table, op.block_table_layout, "block_table")
        rows = None
        if op.rows is not None and op.rows_layout is not None:
            rows = self._of_key_values(op.rows, op.rows_layout, "rows")
        return Pages(table, rows, sizes["slot"], sizes["p"])

    def _of_key_values(self, value: SSAValue, layout: AffineMapAttr, name: str) -> Access:
        """What says which keys there are: all query heads of a KV head share them."""
        access = self._access(value, layout)
        if self.sizes["g"] > 1 and access.stride("g"):
            raise DiagnosticException(
                f"{name} of {self.op.name} differs between query heads of one KV head, which NKI kernels do not lower"
            )
        return access

    def paged_bytes(self) -> list[tuple[Access, int]]:
        """The bytes that all sequences have in the pools of K and of V, and in the table, where no two share a page."""
        if (pages := self.pages) is None:
            return []
        found: list[tuple[Access, int]] = []
        lists = [pages.table, *([] if pages.rows is None else [pages.rows])]
        pools = [(access, self.sizes["n"] * self.sizes[size]) for access, size in ((self.key, "k"), (self.value, "d"))]
        for access, elements in [pair for pair in pools if pair[0].is_paged] + [(pages.table, pages.number)]:
            dims = {dim for each in (access, *lists) for dim in each.strides} & {*self.batch_dims, "h"}
            elements *= prod(self.sizes[dim] for dim in dims)
            found.append((access, elements * element_bytes(tile_of(access.tensor).element_type)))
        return found

    @property
    def differs_by_head(self) -> bool:
        """Whether KV heads of a sequence have keys in pages of their own, or as many of their own."""
        found = (self.kv_lens, self.pages and self.pages.table, self.pages and self.pages.rows)
        return any(access.stride("h") for access in found if access is not None)

    def _access(self, value: SSAValue, layout: AffineMapAttr) -> Access:
        assert isa(value.type, TensorOf)
        return Access.of(self.tensors[value], value.type.get_shape(), layout)

    @property
    def reach(self) -> KeyIntervalAttr | None:
        """The keys that a block of queries reaches, None where that depends on data."""
        reach = self.op.reach
        return None if reach is None or reach.num_symbols else reach

    def reached_keys(self) -> tuple[int, int]:
        """The first key that any query reaches, and the one after the last; one key at least."""
        keys = self.sizes["n"]
        if (reach := self.reach) is None:
            return 0, keys
        block = [0, self.sizes["m"]]
        lower = reach.evaluate_lower(lambda expr: expr.eval(block, []), max, min)
        upper = reach.evaluate_upper(lambda expr: expr.eval(block, []), max, min)
        first = min(max(lower or 0, 0), keys - 1)
        end = max(min(keys if upper is None else upper, keys), first + 1)
        if self.pages is not None:
            # Tiles of whole pages, or of whole parts of them.
            first -= first % PARTITIONS
            end += -end % gcd(self.pages.size, PARTITIONS)
        return first, end

    @property
    def batch_dims(self) -> list[str]:
        return [name for name in self.sizes if name not in INNER_DIMS]

    @property
    def scale(self) -> float:
        return self.op.scale.value.data

    @property
    def key_type(self) -> Attribute:
        """The element type of K as an operand of products."""
        return self._operand_type(self.key)

    @property
    def value_type(self) -> Attribute:
        """The element type of V as an operand of products."""
        return self._operand_type(self.value)

    def _operand_type(self, access: Access) -> Attribute:
        """8-bit floats multiply with 16-bit ones as they are; f32 mixes with nothing else, so they become f32 too."""
        stored, query = tile_of(access.tensor).element_type, tile_of(self.query.tensor).element_type
        return f32 if is_float8(stored) and isinstance(query, Float32Type) else stored

    @property
    def weight_type(self) -> Attribute:
        """The type of exp(s - max) as an operand of the second product: f32 mixes with nothing else."""
        value = self.value_type
        of = tile_of(self.query.tensor).element_type if is_float8(value) else value
        return of if isinstance(of, Float32Type | Float16Type) else bf16


def chunks(size: int, limit: int = PARTITIONS) -> list[tuple[int, int]]:
    """A size cut into starts and sizes of at most `limit`."""
    return [(start, min(limit, size - start)) for start in range(0, size, limit)]


def starts(indices: Mapping[str, Sum], **more: Sum | int) -> dict[str, Sum]:
    """Indices with some replaced or added."""
    return {**indices, **{name: Sum(i) if isinstance(i, int) else i for name, i in more.items()}}


def column(b: KernelBuilder, name: str, rows: int, element: Attribute = f32) -> SSAValue:
    """A tile of one number a row."""
    return b.tile(name, [rows, 1], element)
