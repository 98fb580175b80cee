"""Random attention graphs in StableHLO, and what must hold of them before and after `fuse-attention`."""
