"""The docstring of the kernel of an attention operation: what it computes, and how its tensors lie."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import AffineMapAttr

from flashlower.dialects.attention import AttentionOp, PartialOp, ScheduleAttr
from flashlower.dialects.attention.layout import layout_to_str
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.captures import Captures
from flashlower.lowering.triton.frame import outer_dims, row_dims
from flashlower.lowering.triton.quantized import about_codes


def describe_kernel(
    op: AttentionOp,
    schedule: ScheduleAttr,
    sizes: Mapping[str, int],
    captures: Captures,
    *,
    pack_group: bool,
    in_runs: bool,
) -> str:
    """
    The docstring of a kernel. `sizes` are those of the iteration dimensions; `pack_group` says whether rows are those
    of all heads of a group, `in_runs` whether splits are runs of the keys of all sequences.
    """
    if in_runs:
        lines = [
            "Attention over one of RUNS equal shares of the keys of all sequences, one sequence after the other (flash",
            "decoding, first step).",
        ]
    elif isinstance(op, PartialOp):
        lines = ["Attention over one of SPLITS runs of the keys (flash decoding, first step)."]
    else:
        lines = ["Attention: out = softmax(scale * Q K^T) V, with an online softmax over tiles of keys."]
    about = {name: about_codes(op, name) for name in op.lanes()}
    lines += [
        f"{name}{layout_to_str(layout.data)}: {element_type(value.type)}{about.get(name, '')}"
        for name, value, layout in op.layouts()
    ]
    if op.block_table_layout is not None:
        lines.append(_about_pages(op, op.block_table_layout))
    if isinstance(op, PartialOp):
        outer = outer_dims(sizes, pack_group=False)
        inner = ", ".join((*outer, "split", "m") if not in_runs else (*outer[-2:], "split", "m"))
        lines += [f"out[{inner}, d]: f32", f"lse[{inner}]: f32"]
        if op.sum is not None:
            lines.append(f"sum[{inner}]: f32, of exp(s - max s): an LSE of large logits rounds log(sum) away")
    lines += captures.describe()
    if row_dims(sizes, pack_group) == ("m", "g"):
        lines.append("Rows are queries of all heads of a group: row r is query r // G of head h * G + r % G.")
    heads = schedule.option("heads") or 1
    if heads > 1:
        lines.append(f"{heads} heads share a tile: where a row and a channel are of different ones, Q has zeros.")
    if schedule.option("transposed"):
        lines.append("Tiles lie transposed: keys are the rows of S, as the matrix unit is longest along rows.")
    return "\n".join(lines)


def _about_pages(op: AttentionOp, layout: AffineMapAttr) -> str:
    """How a key is found in pages: "Key n is slot n % 16 of page block_table[b, n // 16]."."""
    size = op.page_size
    entry = layout_to_str(layout.data).replace("p", "n" if size == 1 else f"n // {size}")
    row = "" if op.rows_layout is None else f", row = rows{layout_to_str(op.rows_layout.data)}"
    slot = "is" if size == 1 else f"is slot n % {size} of"
    return f"Key n {slot} page block_table{entry}{row}."
