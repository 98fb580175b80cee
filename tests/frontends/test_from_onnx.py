"""
from_onnx on whole models: files, shapes, functions, subgraphs, and what is said of models that it cannot import.

Locked in: `main` takes the graph's inputs, in order, and gives its outputs; arithmetic of shapes leaves no trace in the
module; an error is one line that names the node, the operator, its domain and opset, and what to do.
"""

import os

import numpy as np
import pytest

import flashlower
from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.rewrites.fuse_attention import FuseAttentionPass

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")

RNG = np.random.default_rng(3)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def parse(graph, opset=23, functions="", imports=""):
    """A model in onnx's text form, of a graph and further functions."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}{imports}]> {graph} {functions}')


def op_names(module):
    return [op.name for op in module.walk()]


BLOCK = """
block (float[N,S,8] x, bool[N,S] keep, float[8,24] w_qkv, float[8,8] w_o, float[8,16] w_1, float[16,8] w_2,
       float[8] gamma) => (float[N,S,8] y)
<int64[2] axes = {1, 2}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] minus = {-1},
 int64[1] four = {4}, int64[3] parts = {8, 8, 8}, float low = {-inf}, float root = {2.0}>
{
    shape = Shape(x)
    n = Gather<axis = 0>(shape, zero)
    s = Gather<axis = 0>(shape, one)
    heads = Concat<axis = 0>(n, s, two, four)
    back = Concat<axis = 0>(n, s, minus)
    normed = LayerNormalization<axis = -1>(x, gamma)
    qkv = MatMul(normed, w_qkv)
    q, k, v = Split<axis = -1>(qkv, parts)
    q4 = Reshape(q, heads)
    k4 = Reshape(k, heads)
    v4 = Reshape(v, heads)
    qt = Transpose<perm = [0, 2, 1, 3]>(q4)
    kt = Transpose<perm = [0, 2, 3, 1]>(k4)
    vt = Transpose<perm = [0, 2, 1, 3]>(v4)
    logits = MatMul(qt, kt)
    scaled = Div(logits, root)
    keep4 = Unsqueeze(keep, axes)
    padded = Where(keep4, scaled, low)
    start = Constant<value_int = 0>()
    step = Constant<value_int = 1>()
    length = Squeeze(s)
    places = Range(start, length, step)
    columns = Unsqueeze(places, zero)
    rows = Unsqueeze(places, one)
    later = Greater(columns, rows)
    masked = Where(later, low, padded)
    weights = Softmax<axis = -1>(masked)
    mixed = MatMul(weights, vt)
    merged = Transpose<perm = [0, 2, 1, 3]>(mixed)
    flat = Reshape(merged, back)
    out = MatMul(flat, w_o)
    x1 = Add(x, out)
    up = MatMul(x1, w_1)
    act = Gelu(up)
    down = MatMul(act, w_2)
    y = Add(x1, down)
}
"""


def block_inputs(batch=2, length=5):
    keep = np.ones((batch, length), bool)
    keep[-1, 3:] = False
    return f32(batch, length, 8), keep, f32(8, 24), f32(8, 8), f32(8, 16), f32(16, 8), f32(8)


def test_transformer_block():
    """One attention, whose masks are formulas; no arithmetic of shapes is left."""
    model = parse(BLOCK)
    inputs = block_inputs()
    names = [value.name for value in model.graph.input]
    expected = reference.ReferenceEvaluator(model).run(None, dict(zip(names, inputs)))[0]
    module = flashlower.from_onnx(model, dims={"N": 2, "S": 5})
    assert not {"stablehlo.gather", "stablehlo.concatenate"} & set(op_names(module))
    for kernels in ("numpy", "triton"):
        found = flashlower.interpret(module, *inputs, kernels=kernels)
        assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
    fused = module.clone()
    FuseAttentionPass().apply(make_context(), fused)
    (attention,) = [op for op in fused.walk() if isinstance(op, SdpaOp)]
    assert "causal(n <= m)" in str(attention)
    assert len(flashlower.compile(module).functions) == 1


def test_module_is_what_other_tools_read():
    """xdsl-opt reads the text; arguments and results have the names of the graph."""
    module = flashlower.from_onnx(parse(BLOCK), dims={"N": 1, "S": 4})
    text = str(module)
    assert "func.func @main(%x: tensor<1x4x8xf32>, %keep: tensor<1x4xi1>" in text
    assert parse_module(text).is_structurally_equivalent(module)


SCALE = "g (float[2,3] x) => (float[2,3] y) <float[3] w = {1, 2, 3}> { y = Mul(x, w) }"


def test_path(tmp_path):
    path = tmp_path / "scale.onnx"
    onnx.save(parse(SCALE), path)
    x = f32(2, 3)
    for given in (path, os.fspath(path)):
        np.testing.assert_allclose(flashlower.interpret(flashlower.from_onnx(given), x), x * [1, 2, 3], rtol=1e-6)


def test_external_data_is_read_beside_the_model(tmp_path):
    path = tmp_path / "large.onnx"
    weights = f32(3, 400)
    model = parse("g (float[2,3] x) => (float[2,400] y) { y = MatMul(x, w) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    x = f32(2, 3)
    np.testing.assert_allclose(flashlower.interpret(flashlower.from_onnx(path), x), x @ weights, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="initializer 'w' has its data in another file: pass the model's path"):
        flashlower.from_onnx(onnx.load(path, load_external_data=False))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ValueError, match=r"large\.onnx cannot be read as an ONNX model: .*weights\.bin"):
        flashlower.from_onnx(path)


SYMBOLIC = "g (float[N,S] x, float[S,4] w, float[?] b) => (float[N,4] y) { xw = MatMul(x, w) y = Add(xw, b) }"


def test_symbolic_dimensions():
    """A shape that is given says what its symbolic dimensions are elsewhere."""
    module = flashlower.from_onnx(parse(SYMBOLIC), input_shapes={"x": (2, 3), "b": (4,)})
    assert "(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>, %b: tensor<4xf32>) -> tensor<2x4xf32>" in str(module)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"dimension 0 of input 'x' is 'N', but shapes are static; give it with dims=\{'N': ...\} or input_shapes"),
        ({"dims": {"N": 2, "S": 3}}, r"dimension 0 of input 'b' is unknown, .* give it with input_shapes=\{'b': ...\}"),
        ({"input_shapes": {"z": (1,)}}, "input_shapes names 'z', but the inputs are x, w, b"),
        ({"input_shapes": {"x": (1,)}}, r"input 'x' has 2 dimensions, but input_shapes gives \[1\]"),
        ({"input_shapes": {"w": (3, 5)}}, "input 'w' has dimension 1 of size 4, but input_shapes gives 5"),
        (
            {"input_shapes": {"x": (2, 3), "w": (5, 4)}},
            "input 'w' has dimension 'S' of size 3, but input_shapes gives 5",
        ),
    ],
)
def test_shapes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        flashlower.from_onnx(parse(SYMBOLIC), **options)


def test_inputs_with_initializers_are_constants():
    """Before IR version 4, every initializer was an input too."""
    model = parse(SCALE)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [3]))
    assert "func.func @main(%x: tensor<2x3xf32>) ->" in str(flashlower.from_onnx(model))


FUNCTION = """
<domain: "mine", opset_import: ["": 23]>
affine <alpha: float = 2.0, beta> (x, shift) => (y)
{
    a = Constant<value_float: float = @alpha>()
    b = Constant<value_float: float = @beta>()
    ax = Mul(x, a)
    axb = Add(ax, b)
    y = Clip(axb, shift)
}
"""


def test_functions_of_the_model():
    """Attributes are bound, defaults too; an input that the call leaves out is left out in the body."""
    model = parse(
        "g (float[3] x, float low) => (float[3] y, float[3] z)"
        "{ y = mine.affine<alpha = 3.0, beta = 1.0>(x, low) z = mine.affine<beta = -1.0>(x) }",
        functions=FUNCTION,
        imports=', "mine": 1',
    )
    x, low = f32(3), np.float32(0.5)
    y, z = flashlower.interpret(flashlower.from_onnx(model), x, low)
    np.testing.assert_allclose(y, np.maximum(3 * x + 1, low), rtol=1e-6)
    np.testing.assert_allclose(z, 2 * x - 1, rtol=1e-6)


def test_operators_by_the_body_of_their_schema():
    """What has no lowering here but a function body in the standard."""
    model = parse("g (float[5] x) => (float[5] y) { a = Mish(x) b = Celu<alpha = 0.5>(a) y = Softsign(b) }")
    x = f32(5)
    expected = reference.ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(flashlower.interpret(flashlower.from_onnx(model), x), expected, rtol=1e-5)


CONDITION = """
g (float[3] x, {declared}) => (float[3] y) {initial}
{{
    two = Constant<value_float = 2.0>()
    y = If(c) <then_branch = then () => (float[3] a) {{ a = Mul(x, two) }},
               else_branch = otherwise () => (float[3] b) {{ b = Sub(x, two) }}>
}}
"""


@pytest.mark.parametrize("condition", [True, False])
def test_branches(condition):
    """A known condition leaves one branch, one that is data both."""
    x = f32(3)
    expected = x * 2 if condition else x - 2
    known = parse(CONDITION.format(declared="float unused", initial=f"<bool c = {{{int(condition)}}}>"))
    module = flashlower.from_onnx(known)
    assert "stablehlo.if" not in op_names(module)
    np.testing.assert_allclose(flashlower.interpret(module, x, np.float32(0)), expected)
    module = flashlower.from_onnx(parse(CONDITION.format(declared="bool c", initial="")))
    assert op_names(module).count("stablehlo.if") == 1
    np.testing.assert_allclose(flashlower.interpret(module, x, np.asarray(condition)), expected)


def test_constants_of_a_branch_stay_in_it():
    """A constant that both branches and the graph use is there for each of them."""
    model = parse(
        """g (float[3] x, bool c) => (float[3] z) <float[3] w = {1, 2, 3}>
        {
            y = If(c) <then_branch = yes () => (float[3] a) { a = Mul(x, w) },
                       else_branch = no () => (float[3] b) { b = Identity(w) }>
            z = Add(y, w)
        }"""
    )
    x, w = f32(3), np.array([1, 2, 3], np.float32)
    module = flashlower.from_onnx(model)
    for condition in (True, False):
        expected = (x * w if condition else w) + w
        np.testing.assert_allclose(flashlower.interpret(module, x, np.asarray(condition)), expected, rtol=1e-6)


def test_flex_attention_becomes_a_score_region():
    """A modifier of scores that is a formula of indices needs no tensor of the size of the scores."""
    model = parse(
        """g (float[1,4,5,8] q, float[1,2,5,8] k, float[1,2,5,8] v) => (float[1,4,5,8] y)
        {
            y = ai.onnx.preview.FlexAttention(q, k, v) <score_mod = mod (float[B,H,L,S] s) => (float[B,H,L,S] t)
                <int64 zero = {0}, int64 one = {1}, int64[2] column = {-1, 1}, float low = {-inf}>
                {
                    shape = Shape(s)
                    two = Constant<value_int = 2>()
                    n = Gather<axis = 0>(shape, two)
                    places = Range(zero, n, one)
                    rows = Reshape(places, column)
                    later = Less(rows, places)
                    t = Where(later, low, s)
                }>
        }""",
        opset=26,
        imports=', "ai.onnx.preview": 1',
    )
    module = flashlower.from_onnx(model)
    FuseAttentionPass().apply(make_context(), module)
    text = str(module)
    assert "k(%k[b, h, n, k]" in text
    assert "score(causal(n <= m))" in text
    assert "stablehlo" not in text


def wrong(graph, message, opset=23, **options):
    return pytest.param(graph, opset, message, options, id=message[:40])


@pytest.mark.parametrize(
    ("graph", "opset", "message", "options"),
    [
        wrong(
            "g (float[2] x) => (float[2] y) { y = Det(x) }",
            r"the node of \['y'\] \(Det, domain ai.onnx, opset 23\): this operator is not supported; rewrite it",
        ),
        wrong(
            "g (float[2] x) => (float[2] y) { y = his.Op(x) }", r"\(Op, domain his, opset \?\): this operator is not"
        ),
        wrong(
            "g (float[2] x, int64[1] n) => (float[2] y) { y = Reshape(x, n) }",
            r"the shape \(input 1, 'n'\) is computed from data, but shapes are static: make it a constant or an init",
        ),
        wrong(
            "g (float[2] x) => (float[2] y) { y = Add(x, z) }", r"reads 'z', which is no input, initializer or output"
        ),
        wrong(
            "g (float[2] x) => (float[2] y) { z = Add(x, y) y = Neg(z) }",
            "reads 'y', which is computed by this node or a later one: the graph has a cycle or is not sorted",
        ),
        wrong("g (float[2] x) => (float[2] y) { y = Neg(x) y = Abs(x) }", "'y' is defined twice"),
        wrong("g (float[2] x) => (float[2] y) { z = Neg(x) }", "graph 'g' has the output 'y', which no node"),
        wrong(
            "g (float[2] x, float[3] z) => (float[2] y) { y = Add(x, z) }",
            r"\(Add, .*broadcast.*; the inputs are \(tensor<2xf32>, tensor<3xf32>\)",
        ),
        wrong(
            "g (float[2] x, double[2] z) => (float[2] y) { y = Add(x, z) }",
            "operands have element types f32 and f64; the inputs are",
        ),
        wrong(
            "g (float[2] x) => (double[2] y) { y = Neg(x) }",
            "output 'y' is declared with elements of type f64, but computed with f32",
        ),
        wrong(
            "g (float[2] x) => (float[3] y) { y = Neg(x) }",
            r"output 'y' is declared with shape \[3\], but computed with \[2\]",
        ),
        wrong("g (string[2] x) => (string[2] y) { y = Identity(x) }", "input 'x' has element type STRING"),
        wrong("g (seq(float[2]) x) => (float[2] y) { y = Identity(x) }", "input 'x' is no tensor, but sequence_type"),
        wrong("g (float[2] x) => (float[2] y) { y = Softmax<axis = 1>(x) }", "axis 1 is out of range for rank 1"),
        wrong("g (float[2,3] x) => (float[3,2] y) { y = Transpose<perm = [0, 0]>(x) }", r"permutation \[0, 0\]"),
        wrong("g (float[2] x) => (float[2] y) { y = Add(x) }", r"input 1 is missing"),
        wrong("g (float[2] x) => (float[2] y) { y = Neg(x, x) }", "has 2 inputs, but the operator at most 1"),
        wrong(
            "g (float[2] x) => (float[2] y) { y = Softmax<axes = 0>(x) }",
            "has the attribute 'axes', which the operator has not in this opset",
        ),
        wrong("g (float[2] x) => (float[2] y) { y = Softmax<axis = 0.0>(x) }", "has a FLOAT as 'axis', expected INT"),
        wrong(
            "g (float[2] x) => (float[2] y) { y = Neg(x) }",
            "the model needs opset 999 of ai.onnx, but the installed onnx package knows .*: update it",
            999,
        ),
        wrong("g (float[2] x) => (float[2] y) { y = Neg(x) }", "opset 6 of ai.onnx, but 7 is the oldest", 6),
        wrong(
            "g (float[2] x) => (float[1] y) { y = Cast<to = 99>(x) }", "unknown element type 99|has the unknown element"
        ),
        wrong(
            "g (float[2] x, bool c) => (float[2] y) { y = If(c) <then_branch = t () => (float[2] a) { a = Neg(x) }, "
            "else_branch = e () => (float[1] b) { b = Constant<value_floats = [1.0]>() }> }",
            r"the branches give \(tensor<2xf32>\) and \(tensor<1xf32>\), expected the same types",
        ),
        wrong(
            "g (float[2] x) => (float[2] y) <bool t = {1}> { y = Dropout(x, , t) }",
            "training_mode is set; export the model for inference",
        ),
    ],
)
def test_what_cannot_be_imported(graph, opset, message, options):
    with pytest.raises(ValueError, match=message) as caught:
        flashlower.from_onnx(parse(graph, opset), **options)
    assert len(str(caught.value)) < 400


def test_recursive_functions():
    functions = '<domain: "mine", opset_import: ["": 23, "mine": 1]> loop (x) => (y) { y = mine.loop(x) }'
    model = parse("g (float[2] x) => (float[2] y) { y = mine.loop(x) }", functions=functions, imports=', "mine": 1')
    with pytest.raises(ValueError, match="functions are nested more than 64 deep; ONNX allows no recursion"):
        flashlower.from_onnx(model)


def test_what_is_no_model(tmp_path):
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"\x0aneither protobuf nor a model")
    with pytest.raises(ValueError, match=r"garbage\.onnx cannot be read as an ONNX model"):
        flashlower.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        flashlower.from_onnx(tmp_path / "absent.onnx")
    with pytest.raises(TypeError, match=r"takes a path or an onnx\.ModelProto, got int"):
        flashlower.from_onnx(3)
    with pytest.raises(ValueError, match="the model has no graph or no opset_import"):
        flashlower.from_onnx(onnx.ModelProto())
    model = parse(SCALE)
    model.graph.initializer[0].ClearField("float_data")
    with pytest.raises(ValueError, match="initializer 'w' has data that does not fit its type and shape"):
        flashlower.from_onnx(model)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr("flashlower.frontends.onnx.package.import_module", _raise)
    with pytest.raises(ImportError, match=r"pip install 'flashlower\[onnx\]'"):
        flashlower.from_onnx("model.onnx")


def _raise(name):
    raise ImportError(name)
