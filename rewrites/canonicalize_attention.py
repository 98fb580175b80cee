"""Canonicalisation patterns of the attention dialect."""
