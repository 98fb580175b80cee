"""Where the kernel of an attention operation stores its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import AttentionOp, PartialOp, SdpaOp
from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.memory import HeadPart, row_pointers, row_tile_pointers
from flashlower.lowering.triton.parameters import Access
from flashlower.lowering.triton.runs import RunCount


class Results:
    """The places of a program's rows in the output, the LSE and the sums."""

    def __init__(
        self,
        b: KernelBuilder,
        op: AttentionOp,
        sizes: Sizes,
        programs: Programs,
        accesses: Mapping[str, Access],
        parts: Sequence[HeadPart],
        split: SSAValue | None,
        runs: RunCount | None,
        heads: int,
    ):
        """`parts` are those of V; `split` is the split or run of the program."""
        self._b = b
        self._op = op
        self._sizes = sizes
        self._programs = programs
        self._accesses = accesses
        self._parts = parts
        self._split = split
        self._run_count = runs
        self._heads = heads

    def pointers(self) -> tuple[list[SSAValue], dict[str, SSAValue]]:
        """
        Pointers to the rows of the output, one block for every part of the head size, and to one number a row: those
        of the split of this program, where there are splits.
        """
        b, accesses = self._b, self._accesses
        if isinstance(self._op, SdpaOp):
            out = row_tile_pointers(b, accesses["out"], self._programs, "d", self._parts)
            return out, {"lse": row_pointers(b, accesses["lse"], self._programs)} if "lse" in accesses else {}
        assert self._split is not None
        return self.of_split(self._split)

    def of_split(self, split: SSAValue) -> tuple[list[SSAValue], dict[str, SSAValue]]:
        """`pointers` of any split of a partial."""
        b, accesses = self._b, self._accesses
        row = self._partial_row(split)
        out_rows = b.add(b.arg("out_ptr"), b.mul(b.rows(row), b.cast(self._sizes.value("d"), i64)))
        if len(self._parts) > 1:
            out_rows.name_hint = "out_row_ptrs"
        out = [b.add(out_rows, b.columns(part.offsets), name=f"out_ptrs{part.suffix}") for part in self._parts]
        return out, {name: b.add(b.arg(f"{name}_ptr"), row) for name in ("lse", "sum") if name in accesses}

    def _partial_row(self, split: SSAValue) -> SSAValue:
        """The number of a row in the results [b..., h, g, split, m] or [h, g, split, m] of a partial: i64 [BLOCK_M]."""
        b, programs, sizes = self._b, self._programs, self._sizes
        assert isinstance(self._op, PartialOp)

        def step(row: SSAValue, size: SSAValue, index: SSAValue) -> SSAValue:
            return b.add(b.mul(row, b.cast(size, i64)), b.cast(index, i64))

        rows = programs.rows
        row = b.cast(programs.flat, i64)
        if "h" in rows:
            row = b.add(b.mul(row, self._heads), b.cast(rows["h"], i64))
        if "g" in rows:
            row = step(row, sizes.value("g"), rows["g"])
        if self._run_count is None:
            splits = sizes.constexpr("SPLITS", self._op.num_splits)
        else:
            splits = b.add(sizes.constexpr("RUNS", self._run_count.runs), self._run_count.sequences - 1)
        row = step(row, splits, split)
        if "m" in rows:
            row = step(row, sizes.value("m"), rows["m"])
        if not shape_of(row.type):
            row = b.broadcast_to(row, (programs.block_m,))
        row.name_hint = "row"
        return row
