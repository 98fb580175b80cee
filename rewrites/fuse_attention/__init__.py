"""
`fuse-attention`: finds attention in StableHLO and makes each one `attention.sdpa`.

`match` finds the structure, `access` is the index algebra that lets it look through layouts, `softmax`, `rows` and
`reductions` read the softmax, `row_uses` what else is used of it, `score`, `expression` and `constants` what happens to
the logits. `operands` decides what is read in place and names the dimensions, `emit` writes the score region, and
`place` puts the operation into the graph.
"""

from flashlower.rewrites.fuse_attention.fuse import FuseAttentionPass

__all__ = ["FuseAttentionPass"]
