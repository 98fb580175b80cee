"""The parts of `decompose-attention`: tensors with named axes, and score regions as tensor operations."""
