"""
The operator `Attention` beyond ONNX's own cases, against onnx's reference evaluator and by its IR.

Locked in: any combination of ranks, groups, masks, windows, caches and lengths that the schema allows gives the
reference's numbers; an `Attention` node becomes one `attention.sdpa` with layouts and short forms, and nothing is
transposed, repeated or padded beside it that the operator's outputs do not need.
"""

import numpy as np
import pytest

import flashlower

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")

INPUTS = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")


def make_model(feeds, attributes, opset, outputs=("Y",)):
    names = [name if name in feeds else "" for name in INPUTS]
    while not names[-1]:
        names.pop()
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Attention", names, list(outputs), name="node", **attributes)],
        "graph",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in feeds.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs if name],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])


def random_case(seed):
    """Inputs, attributes, opset and outputs of a random legal node."""
    rng = np.random.default_rng(seed)

    def pick(*values):
        return values[rng.integers(len(values))]

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    opset = pick(23, 24, 25)
    batch, heads, group, size, value_size = pick(1, 3), pick(1, 2), pick(1, 3), pick(1, 4, 5), pick(3, 8)
    queries, keys, past = pick(1, 4, 7), pick(1, 5, 9), 0
    flat = pick(True, False)
    attributes, outputs = {}, ["Y"]

    def tensor(n, length, d):
        return normal(batch, length, n * d) if flat else normal(batch, n, length, d)

    feeds = {
        "Q": tensor(heads * group, queries, size),
        "K": tensor(heads, keys, size),
        "V": tensor(heads, keys, value_size),
    }
    if flat:
        attributes.update(q_num_heads=heads * group, kv_num_heads=heads)
    cache = pick("none", "past", "lengths") if opset >= 24 else pick("none", "past")
    if cache == "past":
        past = pick(1, 6)
        feeds["past_key"] = normal(batch, heads, past, size)
        feeds["past_value"] = normal(batch, heads, past, value_size)
        outputs += ["present_key", "present_value"]
    total = past + keys
    if cache == "lengths":
        feeds["nonpad_kv_seqlen"] = rng.integers(0, total + 1, batch)
    if pick(True, False):
        shape = [pick(1, batch), pick(1, heads * group), pick(1, queries), total][rng.integers(4) :]
        if opset >= 24 and pick(True, False):
            longest = int(feeds["nonpad_kv_seqlen"].max()) if cache == "lengths" else 1
            shape[-1] = int(rng.integers(max(longest, 1), total + 1))
        feeds["attn_mask"] = normal(*shape) if pick(True, False) else rng.integers(0, 3, shape) > 0
    attributes["is_causal"] = pick(0, 1)
    if pick(True, False):
        attributes["softcap"] = 1.5
    if pick(True, False):
        attributes["scale"] = 0.3
    if opset >= 25:
        attributes.update(left_window_size=pick(-1, 0, 2), right_window_size=pick(-1, 0, 3))
    return {name: feeds[name] for name in INPUTS if name in feeds}, attributes, opset, outputs


def compare(seed, **options):
    feeds, attributes, opset, outputs = random_case(seed)
    wide = dict(feeds)
    if (mask := feeds.get("attn_mask")) is not None:
        # The reference takes the number of queries from the mask.
        queries = feeds["Q"].shape[1 if feeds["Q"].ndim == 3 else 2]
        wide["attn_mask"] = mask + np.zeros((queries, 1), mask.dtype)
    with np.errstate(all="ignore"):
        evaluator = reference.ReferenceEvaluator(make_model(wide, attributes, opset, outputs))
        expected = evaluator.run(None, wide)
    module = flashlower.from_onnx(make_model(feeds, attributes, opset, outputs))
    assert [op.name for op in module.walk()].count("attention.sdpa") == 1
    found = flashlower.interpret(module, *feeds.values(), **options)
    for a, b in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)


@pytest.mark.parametrize("seed", range(60))
def test_random_nodes(seed):
    compare(seed)


@pytest.mark.parametrize("seed", range(60, 66))
def test_random_nodes_with_kernels(seed):
    compare(seed, kernels="triton")


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def text_of(feeds, attributes=None, opset=23, outputs=("Y",)):
    return str(flashlower.from_onnx(make_model(feeds, attributes or {}, opset, outputs)))


def test_flat_heads_and_groups_are_layouts():
    text = text_of(
        {"Q": zeros(2, 5, 24), "K": zeros(2, 7, 8), "V": zeros(2, 7, 6)},
        {"q_num_heads": 6, "kv_num_heads": 2, "is_causal": 1},
    )
    assert "q(%Q[b, m, h * 12 + g * 4 + k]" in text
    assert "k(%K[b, n, h * 4 + k]" in text
    assert "v(%V[b, n, h * 3 + d]" in text
    assert "score(causal(n <= m))" in text
    assert "out[b, m, h * 9 + g * 3 + d]" in text
    assert "stablehlo" not in text


def test_past_is_concatenated_and_shifts_positions():
    q = zeros(1, 2, 3, 4)
    past = zeros(1, 2, 5, 4)
    text = text_of(
        {"Q": q, "K": q, "V": q, "past_key": past, "past_value": past},
        {"is_causal": 1, "left_window_size": 2},
        25,
        ("Y", "present_key", "present_value"),
    )
    assert text.count("stablehlo.concatenate") == 2
    assert "score(window(m + 3 <= n <= m + 5))" in text


def test_soft_cap_comes_before_the_mask():
    q = zeros(1, 2, 3, 4)
    text = text_of({"Q": q, "K": q, "V": q, "attn_mask": zeros(3, dtype=bool)}, {"softcap": 5.0})
    assert "score(soft_cap(5.000000e+00) mask(%attn_mask[n] : tensor<3xi1>))" in text


def test_one_column_of_a_mask_broadcasts_in_opset_23_and_is_padded_later():
    """The text of opset 24 lets masks be shorter than the keys, which opset 23 does not."""
    feeds = {
        "Q": zeros(1, 1, 2, 4),
        "K": zeros(1, 1, 3, 4),
        "V": np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4),
        "attn_mask": np.ones((2, 1), bool),
    }
    mean = feeds["V"].mean(2, keepdims=True).repeat(2, 2)
    first = feeds["V"][:, :, :1].repeat(2, 2)
    for opset, expected in ((23, mean), (24, first)):
        module = flashlower.from_onnx(make_model(feeds, {}, opset))
        np.testing.assert_allclose(flashlower.interpret(module, *feeds.values()), expected, rtol=1e-6)


def test_precision_above_f32_is_kept():
    """Logits 1 and 1 + 2e-8 of f32 inputs differ in f64 only."""
    q = np.array([[[[1.0, 2e-8]]]], np.float32)
    k = np.array([[[[1.0, 0.0], [1.0, 1.0]]]], np.float32)
    feeds = {"Q": q, "K": k, "V": np.array([[[[-(2.0**20)], [2.0**20]]]], np.float32)}
    model = make_model(feeds, {"scale": 1.0, "softmax_precision": onnx.TensorProto.DOUBLE}, 23)
    found = flashlower.interpret(flashlower.from_onnx(model), *feeds.values())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 2.0**20 * np.tanh(1e-8), rtol=1e-6)


Q4, K3 = zeros(1, 6, 3, 4), zeros(1, 3, 8)


@pytest.mark.parametrize(
    ("feeds", "attributes", "opset", "message"),
    [
        ({"Q": Q4, "K": K3, "V": K3}, {}, 23, "Q, K and V have ranks 4, 3 and 3, expected 3 or 4 for all"),
        ({"Q": Q4, "K": Q4[:, :4], "V": Q4[:, :4]}, {}, 23, "6 query heads are no multiple of 4 KV heads"),
        ({"Q": K3, "K": K3, "V": K3}, {}, 23, r"q_num_heads is 0, which does not fit an input of shape \[1, 3, 8\]"),
        (
            {"Q": Q4, "K": Q4, "V": Q4},
            {"q_num_heads": 5},
            23,
            r"q_num_heads is 5, which does not fit an input of shape \[1, 6, 3, 4\]",
        ),
        ({"Q": Q4, "K": Q4, "V": Q4, "past_key": Q4}, {}, 23, "past_key and past_value must be given together"),
        (
            {"Q": Q4, "K": Q4, "V": Q4, "past_key": Q4, "past_value": Q4, "nonpad_kv_seqlen": np.array([3])},
            {},
            24,
            "cannot be used with past_key",
        ),
        (
            {"Q": Q4, "K": Q4, "V": Q4, "attn_mask": zeros(2, 3)},
            {},
            23,
            r"attn_mask has shape \[2, 3\], which does not broadcast to \[1, 6, 3, 3\]",
        ),
        ({"Q": Q4, "K": Q4, "V": Q4}, {"left_window_size": -2}, 25, r"the window is \(-2, -1\)"),
        ({"Q": Q4, "K": Q4, "V": Q4[:, :, :2]}, {}, 23, "size of n is 3 by .* but 2 by"),
        ({"Q": Q4, "K": Q4, "V": Q4}, {"softmax_precision": 7}, 23, "softmax_precision is i64, expected a float type"),
        ({"Q": Q4, "K": Q4, "V": Q4}, {"is_causal": 2}, 23, "is_causal is 2, expected 0 or 1"),
        ({"Q": Q4, "K": Q4, "V": Q4}, {"softcap": -1.0}, 23, "softcap is -1.0, expected 0"),
        ({"Q": Q4, "K": Q4, "V": Q4}, {"qk_matmul_output_mode": 4}, 23, "mode is 4, expected 0 to 3"),
        ({"Q": Q4, "K": Q4, "V": Q4}, {}, 22, "new in opset 23"),
    ],
)
def test_wrong_nodes(feeds, attributes, opset, message):
    with pytest.raises(ValueError, match=rf"node 'node' \(Attention, domain ai.onnx, opset {opset}\): .*{message}"):
        text_of(feeds, attributes, opset)
