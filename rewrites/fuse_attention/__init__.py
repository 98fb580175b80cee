"""
`fuse-attention`: finds attention in StableHLO and makes each one `attention.sdpa`.

`match` finds the structure, `access` is the index algebra that lets it look through layouts, `score`, `expression` and
`constants` read what happens to the logits, `operands` decides what is read in place and names the dimensions, and
`emit` writes the score region.
"""

from flashlower.rewrites.fuse_attention.fuse import FuseAttentionPass

__all__ = ["FuseAttentionPass"]
