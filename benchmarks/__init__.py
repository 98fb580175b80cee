"""
Speed of the emitted kernels beside other implementations, on a GPU.

    python -m benchmarks.attention --suite decode --out results.json
    python -m benchmarks.report results.json --plot docs/decode.svg

Not installed with the package: run these from a checkout.
"""
