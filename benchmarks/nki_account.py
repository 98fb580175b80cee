"""The work of the Vector and Scalar engines of NKI kernels for a decoding step, by the two arrangements, as a table.

    python benchmarks/nki_account.py                       # all of it; some minutes
    python benchmarks/nki_account.py --shapes 8x1 4x2 --keys 128 1000 --sizes 128
    python benchmarks/nki_account.py --target trn3 --cores 2
    python benchmarks/nki_account.py --keys 128 1024 --page-size 16      # K and V in pages
    python benchmarks/nki_account.py --cores 2 --splits 2                # keys on the partitions: cores share keys

Nothing runs: it is the cost account of `-t nki-cost`, which is no speed. A number is the work of all cores with keys on
the partitions over that with the query group there, groups of four; the last column is the most bytes of DMA of a line
over the least possible. The end says how many kernels are above a quarter, by that and by the busiest core.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from flashlower.dialects import nki
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.lowering.nki.convert import ConvertAttentionToNkiPass
from flashlower.lowering.nki.cost import Account, account, launch_account
from flashlower.rewrites.flash_decoding import FlashDecodingPass

GROUP = 4
SHAPES = ("8x1", "4x2", "2x4", "1x8", "9x1", "16x1", "1x16", "16x2", "4x8", "32x1", "37x1", "8x8", "64x1")
"""Sequences and KV heads: 8 to 64 pairs."""
KEYS = (1, 100, 128, 241, 512, 1000, 4096, 16384)
SIZES = (64, 128)
STORAGE = tuple(itertools.product(("bf16", "f32"), (False, True)))
"""The type, and whether sequences have lengths."""
LEAST_PART = 0.25


def decoding_step(
    batch: int, heads: int, keys: int, size: int, dtype: str, *, lengths: bool, page_size: int = 0
) -> str:
    """A module of one attention; with a size of pages, of which `keys` is a multiple, K and V are pools of them."""
    q = f"tensor<{batch}x{heads * GROUP}x1x{size}x{dtype}>"
    kv, places = f"tensor<{batch}x{heads}x{keys}x{size}x{dtype}>", "b, h, n"
    pages = keys // page_size if page_size else 0
    if page_size:
        kv, places = f"tensor<{batch * pages}x{page_size}x{heads}x{size}x{dtype}>", "page, slot, h"
    lens, table = f"tensor<{batch}xi32>", f"tensor<{batch}x{pages}xi32>"
    paged = page_size > 0
    return f"""
func.func @decode(%q: {q}, %k: {kv}, %v: {kv}{f", %table: {table}" * paged}{f", %lens: {lens}" * lengths}) -> {q} {{
  %0 = attention.sdpa
      q(%q[b, h * {GROUP} + g, m, k] : {q}) k(%k[{places}, k] : {kv}) v(%v[{places}, d] : {kv})
      {f"block_table(%table[b, p] : {table})" * paged} {f"kv_lens(%lens[b] : {lens})" * lengths}
      scale(0.088) -> out[b, h * {GROUP} + g, m, d] : {q}
  func.return %0 : {q}
}}"""


def accounts_of(text: str, splits: int = 1, **options: Any) -> tuple[Account, Account]:
    """The accounts of a module's kernel, by the options of the pass: of all cores, and of the busiest."""
    module = parse_module(text)
    if splits > 1:
        FlashDecodingPass(splits=splits).apply(make_context(), module)
    ConvertAttentionToNkiPass(**options).apply(make_context(), module)
    (kernel,) = (op for op in module.ops if isinstance(op, nki.KernelOp))
    return launch_account(kernel), account(kernel)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--keys", type=int, nargs="+", default=KEYS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--target", default="trn2")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--page-size", type=int, default=0)
    parser.add_argument("--splits", type=int, default=1)
    args = parser.parse_args()
    machine = {"target": args.target, "cores": args.cores}
    variants = list(itertools.product(args.sizes, STORAGE))
    print(f"{'':19}" + "".join(f"{f'd = {size}':>11}" for size, _ in variants))
    names = [f"{dtype}{', lens' * lengths}" for _, (dtype, lengths) in variants]
    print(f"{'batch heads':>11}{'keys':>8}" + "".join(f"{name:>11}" for name in names) + f"{'DMA':>7}")
    parts: list[float] = []
    of_busiest: list[float] = []
    for shape, keys in itertools.product(args.shapes, args.keys):
        batch, heads = map(int, shape.split("x"))
        line: list[float] = []
        moved = 0.0
        for size, (dtype, lengths) in variants:
            text = decoding_step(batch, heads, keys, size, dtype, lengths=lengths, page_size=args.page_size)
            by_keys = accounts_of(text, args.splits, arrangement="keys", **machine)
            by_rows = accounts_of(text, arrangement="rows", **machine)
            part, busiest = (a.vector_and_scalar / b.vector_and_scalar for a, b in zip(by_keys, by_rows, strict=True))
            line.append(part)
            of_busiest.append(busiest)
            moved = max(moved, by_keys[0].engines["DMA"].bytes / by_keys[0].least_bytes)
        print(f"{batch:>5}{heads:>6}{keys:>8}" + "".join(f"{part:>11.2f}" for part in line) + f"{moved:>7.2f}")
        parts += line
    summaries = [("all cores", parts), ("the busiest core", of_busiest)][: args.cores]
    for whose, found in summaries:
        above = sum(part > LEAST_PART for part in found)
        print(f"{above} of {len(found)} parts of {whose} above a quarter, the most is {max(found):.3f}")


if __name__ == "__main__":
    main()
