"""The work of the Vector and Scalar engines of NKI kernels for a decoding step, by the two arrangements, as a table.

    python benchmarks/nki_account.py

Nothing runs: it is the cost account of `-t nki-cost`, which is no speed.
"""

from __future__ import annotations

from flashlower.dialects import nki
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.lowering.nki.convert import ConvertAttentionToNkiPass
from flashlower.lowering.nki.cost import Account, account

GROUP, HEAD_SIZE = 4, 128


def account_of(batch: int, heads: int, keys: int, arrangement: str) -> Account:
    """The account of a decoding step."""
    q = f"tensor<{batch}x{heads * GROUP}x1x{HEAD_SIZE}xbf16>"
    kv = f"tensor<{batch}x{heads}x{keys}x{HEAD_SIZE}xbf16>"
    module = parse_module(f"""
func.func @decode(%q: {q}, %k: {kv}, %v: {kv}) -> {q} {{
  %0 = attention.sdpa
      q(%q[b, h * {GROUP} + g, m, k] : {q}) k(%k[b, h, n, k] : {kv}) v(%v[b, h, n, d] : {kv})
      scale(0.088) -> out[b, h * {GROUP} + g, m, d] : {q}
  func.return %0 : {q}
}}""")
    ConvertAttentionToNkiPass(arrangement=arrangement).apply(make_context(), module)
    (kernel,) = (op for op in module.ops if isinstance(op, nki.KernelOp))
    return account(kernel)


def main() -> None:
    """Prints the table."""
    print(f"{'batch':>5}{'heads':>6}{'keys':>7}{'keys on partitions':>20}{'rows there':>12}{'part':>6}{'DMA':>6}")
    for batch, heads in ((1, 8), (4, 2), (8, 1), (8, 8)):
        for keys in (128, 1000, 4096, 16384):
            work: dict[str, int] = {}
            for arrangement in ("keys", "rows"):
                found = account_of(batch, heads, keys, arrangement)
                work[arrangement] = found.engines["Vector"].cycles + found.engines["Scalar"].cycles
                if arrangement == "keys":
                    moved = found.engines["DMA"].bytes / found.least_bytes
            part = work["keys"] / work["rows"]
            print(f"{batch:>5}{heads:>6}{keys:>7}{work['keys']:>20}{work['rows']:>12}{part:>6.2f}{moved:>6.2f}")


if __name__ == "__main__":
    main()
