"""
Which keys a score region reaches, and which it leaves unmasked: the analysis behind `infer-attention-bounds`.

`linear` has affine expressions, `interval` intervals of keys with such bounds, `integers` reads integers of a score
region as expressions, `conditions` its truth values as intervals, and `score` puts them together.
"""
