"""Whole models, exported through every front end, and what must hold of each."""
