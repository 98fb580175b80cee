"""Softmax, and norms."""

from __future__ import annotations

from flashlower.dialects import stablehlo
from flashlower.frontends.onnx.builder import Builder
from flashlower.frontends.onnx.indexing import gather_rows
from flashlower.frontends.onnx.node import Node, Table
from flashlower.frontends.onnx.values import Value

table = Table()


@table.lowers("Softmax", "LogSoftmax")
def softmax(node: Node) -> Value:
    """Along an axis; before opset 13, over all dimensions from `axis` on."""
    b, x = node.b, node.input(0)
    if node.opset >= 13:
        axes = [node.axis(node.attribute("axis", -1))]
    else:
        axes = list(range(node.axis(node.attribute("axis", 1)), x.rank))
    wide = b.widen(x)
    shifted = b.subtract(wide, b.reduce(wide, "maximum", axes, True))
    weights = b.unary(stablehlo.ExpOp, shifted)
    total = b.reduce(weights, "add", axes, True)
    if node.op_type == "Softmax":
        result = b.divide(weights, total)
    else:
        result = b.subtract(shifted, b.unary(stablehlo.LogOp, total))
    return b.cast(result, x.element_type)


def _normalized(b: Builder, x: Value, axes: list[int], epsilon: float, centred: bool) -> tuple[Value, Value, Value]:
    """(x - mean) / sqrt(variance + epsilon), the mean and the reciprocal of the root; without a mean not centred."""
    mean = b.mean(x, axes, True)
    centre = b.subtract(x, mean) if centred else x
    variance = b.mean(b.multiply(centre, centre), axes, True)
    inverse = b.unary(stablehlo.RsqrtOp, b.add(variance, b.like(epsilon, variance)))
    return b.multiply(centre, inverse), mean, inverse


@table.lowers("LayerNormalization")
def layer_normalization(node: Node) -> list[Value | None]:
    """Over the dimensions from `axis` on, in the type `stash_type`; then scale and bias."""
    b, x = node.b, node.input(0)
    axes = list(range(node.axis(node.attribute("axis", -1)), x.rank))
    wide = b.cast(x, node.element_type(node.attribute("stash_type", 1)))
    result, mean, inverse = _normalized(b, wide, axes, node.attribute("epsilon", 1e-5), True)
    result = b.multiply(b.cast(result, x.element_type), node.input(1))
    bias = node.optional(2)
    return [result if bias is None else b.add(result, bias), mean, inverse]


@table.lowers("RMSNormalization")
@table.lowers("SimplifiedLayerNormalization")
@table.lowers("SimplifiedLayerNormalization", domain="com.microsoft")
def rms_normalization(node: Node) -> list[Value | None]:
    """Over the dimensions from `axis` on: x / sqrt(mean(x * x) + epsilon) * scale."""
    b, x, scale = node.b, node.input(0), node.input(1)
    axes = list(range(node.axis(node.attribute("axis", -1)), x.rank))
    wide = b.cast(x, node.element_type(node.attribute("stash_type", 1)))
    result, _, inverse = _normalized(b, wide, axes, node.attribute("epsilon", 1e-5), False)
    result = b.cast(b.cast(result, x.element_type), scale.element_type)
    return [b.multiply(result, scale), inverse]


@table.lowers("BatchNormalization")
def batch_normalization(node: Node) -> Value:
    """At inference: (x - mean) / sqrt(variance + epsilon) * scale + bias, per channel."""
    b, x = node.b, node.input(0)
    if node.attribute("training_mode", 0) or any(node.has_output(i) for i in range(1, 5)):
        raise node.error("training_mode is set; export the model for inference")
    if not node.attribute("spatial", 1):
        raise node.error("spatial=0 is not supported")
    scale, bias, mean, variance = (
        b.cast(b.reshape(node.input(i), (node.input(i).size, *(1,) * (x.rank - 2))), x.element_type)
        for i in range(1, 5)
    )
    inverse = b.unary(stablehlo.RsqrtOp, b.add(variance, b.like(node.attribute("epsilon", 1e-5), variance)))
    return b.add(b.multiply(b.subtract(x, mean), b.multiply(inverse, scale)), bias)


@table.lowers("InstanceNormalization")
def instance_normalization(node: Node) -> Value:
    b, x = node.b, node.input(0)
    axes = list(range(2, x.rank))
    result, _, _ = _normalized(b, b.widen(x), axes, node.attribute("epsilon", 1e-5), True)
    scale, bias = (b.reshape(node.input(i), (node.input(i).size, *(1,) * len(axes))) for i in (1, 2))
    return b.add(b.multiply(b.cast(result, x.element_type), scale), bias)


@table.lowers("GroupNormalization")
def group_normalization(node: Node) -> Value:
    """Over the channels of a group and space; scale and bias are per channel, per group before opset 21."""
    b, x, groups = node.b, node.input(0), int(node.attribute("num_groups"))
    batch, channels, *space = x.shape
    if channels % groups:
        raise node.error(f"{channels} channels are no multiple of {groups} groups")
    parts = b.reshape(b.widen(x), (batch, groups, channels // groups, *space))
    result, _, _ = _normalized(b, parts, list(range(2, parts.rank)), node.attribute("epsilon", 1e-5), True)
    result = b.cast(result, x.element_type)
    ones = (1,) * len(space)
    if node.opset >= 21:
        result = b.reshape(result, x.shape)
        shape = (channels, *ones)
    else:
        shape = (groups, 1, *ones)
    scale, bias = (b.reshape(node.input(i), shape) for i in (1, 2))
    return b.reshape(b.add(b.multiply(result, scale), bias), x.shape)


@table.lowers("LpNormalization")
def lp_normalization(node: Node) -> Value:
    """x over its L1 or L2 norm along an axis; 0 where that is 0."""
    b, x = node.b, node.input(0)
    axis = [node.axis(node.attribute("axis", -1))]
    if node.attribute("p", 2) == 1:
        norm = b.reduce(b.unary(stablehlo.AbsOp, x), "add", axis, True)
    else:
        norm = b.unary(stablehlo.SqrtOp, b.reduce(b.multiply(x, x), "add", axis, True))
    zero = b.compare(norm, b.like(0, x), "EQ")
    return b.divide(x, b.select(zero, b.like(1, x), norm))


@table.lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Value:
    b, x = node.b, node.input(0)
    axes = list(range(2, x.rank))
    if node.op_type == "GlobalMaxPool":
        return b.reduce(x, "maximum", axes, True)
    return b.cast(b.mean(b.widen(x), axes, True), x.element_type)


@table.lowers("RotaryEmbedding")
def rotary_embedding(node: Node) -> Value:
    """
    Rotates pairs of elements of each head by angles that depend on the position (Su et al., "RoFormer", 2021).

    X is [batch, heads, length, size] or [batch, length, heads * size]; the caches are [positions, size / 2] with
    `position_ids`, else [batch, length, size / 2]. Pairs are neighbours if `interleaved`, else halves.
    """
    b, x = node.b, node.input(0)
    shape = x.shape
    heads = int(node.attribute("num_heads", 0))
    if x.rank == 3:
        if heads <= 0 or x.shape[2] % heads:
            raise node.error(f"num_heads is {heads}, which does not fit an input of shape {list(x.shape)}")
        x = b.reshape(x, (x.shape[0], x.shape[1], heads, x.shape[2] // heads))
    else:
        x = b.transpose(x, (0, 2, 1, 3))
    batch, length, heads, size = x.shape
    rotated = int(node.attribute("rotary_embedding_dim", 0)) or size
    half = rotated // 2
    positions = node.optional(3)
    angles: list[Value] = []
    for i in (1, 2):
        cache = node.input(i)
        if positions is not None:
            cache = gather_rows(b, cache, positions)
        if cache.shape[-1] != half:
            raise node.error(f"a cache of shape {list(cache.shape)} does not fit {rotated} rotated elements")
        angles.append(b.reshape(b.broadcast(cache, (batch, length, half)), (batch, length, 1, half)))
    cos, sin = angles
    head = b.slice_axis(x, 3, 0, rotated)
    if node.attribute("interleaved", 0):
        pairs = b.reshape(head, (batch, length, heads, half, 2))
        first, second = (b.reshape(b.slice_axis(pairs, 4, i, i + 1), (batch, length, heads, half)) for i in range(2))
    else:
        first, second = b.slice_axis(head, 3, 0, half), b.slice_axis(head, 3, half, rotated)
    real = b.subtract(b.multiply(first, cos), b.multiply(second, sin))
    imaginary = b.add(b.multiply(first, sin), b.multiply(second, cos))
    if node.attribute("interleaved", 0):
        parts = [b.reshape(part, (batch, length, heads, half, 1)) for part in (real, imaginary)]
        result = b.reshape(b.concatenate(parts, 4), (batch, length, heads, rotated))
    else:
        result = b.concatenate([real, imaginary], 3)
    if rotated < size:
        result = b.concatenate([result, b.slice_axis(x, 3, rotated, size)], 3)
    return b.reshape(result, shape) if len(shape) == 3 else b.transpose(result, (0, 2, 1, 3))
