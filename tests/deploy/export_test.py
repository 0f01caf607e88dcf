"""Exports: they say what evaluation says, prove it, and are told apart from what was altered."""

import dataclasses
import errno
import json
import pathlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from lively_networks import lively_variables
from PIL import Image

import dakd_jax
from dakd_jax.basics import atomic_files
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import export
from dakd_jax.deploy.export import artefact, exporting, folding, onnx, onnx_graph, proof, stablehlo, tflite
from dakd_jax.deploy.export.exporting import ExportPictures, Wanted
from dakd_jax.deploy.export.program import LABELS, PROBABILITIES, NetworkProgram
from dakd_jax.evaluation import predict
from dakd_jax.models import segmenter
from dakd_jax.models.segmenter import Segmenter

ODD = (44, 53)  # (height, width), no multiple of any stride
NETWORKS = {
    "tiny": {},
    "resnet18": {"width": 0.07},  # with max pooling
    "efficientnet_lite0": {"width": 0.15},  # depthwise, padded as TensorFlow pads, ReLU6, a head on two strides
}


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with tiny_runs.quick_compilation():
        yield


def picture(size, seed=0):
    """uint8 [1, H, W, 3], of blocks and noise."""
    return list(proof.generated(size, seed + 1))[seed][None]


@pytest.fixture(scope="module")
def networks():
    """{arch: (model, weights)}."""
    models = {arch: Segmenter(arch=arch, num_classes=5, **how) for arch, how in NETWORKS.items()}
    return {arch: (model, lively_variables(model)) for arch, model in models.items()}


def said(model, variables, images):
    """uint8 [1, H, W]: evaluation's answer."""
    return np.asarray(predict.predict(variables, images, model=model, size=images.shape[1:3]))


# Folding


def logits_of(model, variables):
    return lambda images: segmenter.forward(model, variables, images)[0].main


@pytest.mark.parametrize("arch", NETWORKS)
def test_batch_norm_is_in_the_kernels(networks, arch):
    model, variables = networks[arch]
    whole, images = logits_of(model, variables), picture(ODD)
    simpler = folding.folded(whole, native=True)
    traced = jax.make_jaxpr(simpler)(images)
    kinds = [equation.primitive.name for equation in traced.eqns]
    assert not {"rsqrt", "mul", "jit", "cond", "platform_index", "custom_jvp_call"} & set(kinds)
    expected, found = np.asarray(jax.jit(whole)(images)), jax.jit(simpler)(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_only_what_comes_after_a_convolution_and_alone_goes_into_it():
    rng = np.random.default_rng(0)
    kernel, gain, shift = rng.normal(size=(3, 3, 2, 4)), rng.uniform(1, 2, 4), rng.normal(size=4)

    def function(x):
        y, z, u, v = (convolved(x, kernel * factor) for factor in (1, -1, 2, 3))
        return y * gain + y, shift - ((z - shift) / gain + shift) * 2, gain / u, (v + shift) * gain - gain

    with jax.enable_x64(True):
        x = rng.normal(size=(1, 5, 6, 2))
        simpler = folding.folded(function, native=True)
        kinds = [equation.primitive.name for equation in jax.make_jaxpr(simpler)(x).eqns]
        assert kinds.count("conv_general_dilated") == 4  # what two read is computed once
        for found, expected in zip(jax.jit(simpler)(x), function(x), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)


# Each format says what evaluation says


@pytest.mark.parametrize("arch", NETWORKS)
def test_onnx_of_a_size_and_of_any(networks, arch):
    model, variables = networks[arch]
    program = NetworkProgram(model, variables, ODD, (LABELS, PROBABILITIES))
    run = onnx.runner(onnx.convert(program, "float32", ()))
    images = picture(ODD)
    found, expected = run(images), said(model, variables, images)
    assert found[LABELS].dtype == np.uint8 and len(np.unique(expected)) > 2
    assert np.mean(found[LABELS] == expected) > 0.999
    np.testing.assert_allclose(found[PROBABILITIES].sum(-1), 1, rtol=1e-5)
    assert np.mean(found[PROBABILITIES].argmax(-1) == expected) > 0.999
    run = onnx.runner(onnx.convert(dataclasses.replace(program, size=None, outputs=(LABELS,)), "float32", ()))
    for size in (ODD, (32, 97)):
        images = picture(size)
        assert np.mean(run(images)[LABELS] == said(model, variables, images)) > 0.999


def test_nodes_of_onnx(networks):
    from onnx import load_from_string

    graph = load_from_string(onnx.convert(NetworkProgram(*networks["efficientnet_lite0"], ODD), "float32", ())).graph
    kinds = [node.op_type for node in graph.node]
    depthwise = [node for node in graph.node if any(a.name == "group" and a.i > 1 for a in node.attribute)]
    assert len(depthwise) == 16 and kinds.count("Clip") == 33 - 1 and not {"Sqrt", "Mul"} & set(kinds)
    assert all(len(node.input) == 3 for node in graph.node if node.op_type == "Conv")  # with a bias each
    assert kinds.count("Transpose") <= 6  # the picture, and around the resizing of the skip


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_onnx_in_fewer_bits(networks, dtype):
    model, variables = networks["efficientnet_lite0"]
    images = [picture(ODD, seed) for seed in range(4)]
    content = onnx.convert(NetworkProgram(model, variables, ODD), dtype, images)
    run, whole = onnx.runner(content), onnx.convert(NetworkProgram(model, variables, ODD), "float32", ())
    assert len(content) < {"float16": 0.65, "int8": 0.75}[dtype] * len(whole)
    agreeing = np.mean([run(one)[LABELS] == said(model, variables, one) for one in images])
    assert {"float16": 0.98, "int8": 0.75}[dtype] < agreeing < 1


def test_an_operation_that_onnx_cannot_write_is_named():
    traced = jax.make_jaxpr(lambda x: jnp.sort(x))(np.zeros(3, np.float32))
    inner = traced.eqns[0].params.get("jaxpr", traced)
    with pytest.raises(UserError, match="operation sort.*tflite"):
        onnx_graph.Writer(onnx_graph.Graph()).write(inner, [onnx_graph.Value("x", (3,))])


def convolved(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("function", [
    lambda x: jax.nn.gelu(x, approximate=False) + jax.nn.sigmoid(x) * jnp.tanh(x),
    lambda x: (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5),
    lambda x: jnp.concatenate([x[:, ::2, 1:], jnp.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))[:, ::2, 2:]], axis=3),
    lambda x: jnp.einsum("bhwc,bhvc->bhwv", x, jnp.where(x > 0, x, x**3)),
    lambda x: jax.nn.softmax(x.reshape(x.shape[0], -1, x.shape[3]), axis=1).transpose(0, 2, 1).max(1),
    lambda x: (x + jnp.arange(4.0)) * x,
    lambda x: jnp.clip(x[..., ::-1], -0.5, 0.5).sum((1, 2)) * jnp.arange(4.0),
])  # fmt: skip
def test_operations_of_other_networks(function):
    """After a convolution, so that they meet a value with its channels first."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(3, 3, 2, 4)).astype(np.float32), rng.normal(size=(1, 6, 5, 2)).astype(np.float32)

    def whole(x):
        return function(
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        )

    graph = onnx_graph.Graph()
    (found,) = onnx_graph.Writer(graph).write(
        jax.make_jaxpr(folding.folded(whole, native=True))(x), [onnx_graph.Value("x", x.shape)]
    )
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    output = graph.laid(found, False)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", output)]
    made = helper.make_model(
        helper.make_graph(graph.nodes, "test", ends[:1], ends[1:], constants),
        opset_imports=[helper.make_opsetid("", onnx_graph.OPSET)],
        ir_version=10,
    )
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], whole(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["tiny", "efficientnet_lite0"])
def test_tflite(networks, arch, capfd):
    from ai_edge_litert.interpreter import Interpreter

    model, variables = networks[arch]
    images = picture(ODD)
    content = tflite.convert(NetworkProgram(model, variables, ODD, (LABELS, PROBABILITIES)), "float32", ())
    found = tflite.runner(content)(images)
    assert capfd.readouterr() == ("", "")
    assert found[LABELS].dtype == np.uint8 and np.mean(found[LABELS] == said(model, variables, images)) > 0.999
    np.testing.assert_allclose(found[PROBABILITIES].sum(-1), 1, rtol=1e-5)
    kinds = [one["op_name"] for one in Interpreter(model_content=content)._get_ops_details()]
    assert kinds.count("DEPTHWISE_CONV_2D") == (16 if arch == "efficientnet_lite0" else 0)


def test_tflite_in_8_bits(networks):
    model, variables = networks["tiny"]
    images = [picture(ODD, seed) for seed in range(4)]
    run = tflite.runner(tflite.convert(NetworkProgram(model, variables, ODD), "int8", images))
    assert 0.75 < np.mean([run(one)[LABELS] == said(model, variables, one) for one in images]) < 1


@pytest.mark.parametrize(("arch", "dtype"), [("efficientnet_lite0", "float32"), ("tiny", "bfloat16")])
def test_stablehlo_of_any_size(networks, arch, dtype):
    model, variables = networks[arch]
    run = stablehlo.runner(stablehlo.convert(NetworkProgram(model, variables, None), dtype, ()))
    agreeing = [np.mean(run(one)[LABELS] == said(model, variables, one)) for one in (picture(ODD), picture((32, 97)))]
    assert min(agreeing) > (0.999 if dtype == "float32" else 0.9)


# A file that proves itself


@pytest.fixture
def net(lively):
    return dakd_jax.load(lively[0], arch="tiny", size=(64, 32), classes=19)


@pytest.fixture
def file(net, tmp_path):
    return exporting.export(net, Wanted("onnx", size=(64, 32)), tmp_path / "net.onnx").path


@pytest.mark.parametrize("name", export.CELLS)
def test_it_is_written_read_checked_and_used(net, tmp_path, name):
    wanted = Wanted(name, size=(64, 32), probabilities=True)
    made = exporting.export(net, wanted, tmp_path / f"net{export.ENDINGS[name]}")
    assert made.record["golden"]["classes"] >= proof.CLASSES and made.record["golden"]["agreement"] > 0.999
    assert tuple(made.record["classes"]) == net.classes and made.size == (64, 32)
    (pair,) = made.pairs()
    np.testing.assert_array_equal(pair.labels, net.predict(pair.picture))
    assert proof.check(artefact.read(made.path)) > 0.999
    used, other = dakd_jax.load(made.path), list(proof.generated((50, 70), 1))[0]
    assert used.size == net.size and used.classes == net.classes and used.colours.tolist() == net.colours.tolist()
    assert np.mean(used.predict(other) == net.predict(other)) > 0.99 and used.predict(other).shape == (50, 70)
    apart = np.abs(used.probabilities(other) - net.probabilities(other))
    assert np.mean(apart > 0.01) < 0.001  # where two classes' logarithms lie below a float's least value
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_labels_alone_are_the_nearest(net, file):
    used, other = dakd_jax.load(file), list(proof.generated((64, 128), 1))[0]
    small = net.predict(np.asarray(Image.fromarray(other).resize((64, 32), Image.Resampling.BICUBIC)))
    np.testing.assert_array_equal(used.predict(other), small.repeat(2, 0).repeat(2, 1))
    with pytest.raises(UserError, match="--probabilities"):
        used.probabilities(other)


def test_one_that_says_something_else_is_not_written(net, tmp_path, monkeypatch):
    shifted = net.variables | {
        "params": net.variables["params"] | {"seg1": jax.tree.map(jnp.flip, net.variables["params"]["seg1"])}
    }
    monkeypatch.setattr(exporting.jax, "device_get", lambda variables: shifted)
    with pytest.raises(UserError, match="nothing was written"):
        exporting.export(net, Wanted("onnx", size=(64, 32)), tmp_path / "net.onnx")
    assert not list(tmp_path.glob("*.onnx"))


def test_what_is_stated_of_pictures(net, tmp_path):
    pictures = [one[0] for one in (picture((32, 64), seed) for seed in range(3))]
    truth = [net.predict(one).copy() for one in pictures]
    truth[0][:8] = 255
    given = ExportPictures(lambda size: pictures, lambda size: pictures, lambda size: zip(pictures, truth, strict=True))
    made = exporting.export(net, Wanted("onnx", "int8", (64, 32)), tmp_path / "net.onnx", given)
    told = made.record["pictures"]
    assert told["pictures"] == 3 and 0.7 < told["agreement"] < 1
    assert told["miou"]["network"] == 100 and told["miou"]["export"] < 100
    assert any("mIoU" in line and "100.00" in line for line in exporting.summary(made))


def test_the_most_classes_that_were_found_are_said(lively, tmp_path):
    net = dakd_jax.load(lively[0], arch="tiny", size=(64, 32), classes=19)
    params = net.variables["params"]
    bias = jnp.zeros(19).at[3].set(1e6)
    net.variables = net.variables | {"params": params | {"seg1": params["seg1"] | {"bias": bias}}}
    made = exporting.export(net, Wanted("stablehlo", size=(64, 32)), tmp_path / "net.stablehlo")
    assert made.record["golden"]["classes"] == 1
    assert any("the most that were found; 5 were looked for" in line for line in exporting.summary(made))


def test_the_golden_pair_is_the_first_with_five_classes_or_that_with_the_most(net, monkeypatch):
    monkeypatch.setattr(proof, "reference", lambda network, picture: picture[..., 0])

    def with_classes(*counts):
        return ((np.arange(32 * 64 * 3) % count).astype(np.uint8).reshape(32, 64, 3) for count in counts)

    assert len(np.unique(proof.golden_pair(net, with_classes(2, 4, 3)).labels)) == 4
    rest = with_classes(2, 5, 7)
    assert len(np.unique(proof.golden_pair(net, rest).labels)) == 5 and len(list(rest)) == 1
    net.classes = ("road", "sky")
    assert len(np.unique(proof.golden_pair(net, with_classes(2, 1)).labels)) == 2


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["onnx", "stablehlo"])
def test_an_altered_file_is_refused(net, tmp_path, name):
    path = exporting.export(net, Wanted(name, size=(64, 32)), tmp_path / f"net{export.ENDINGS[name]}").path
    content = path.read_bytes()
    for at in (100, len(content) // 2, content.rfind(b'"classes": ["class 0"') + 14):
        flipped(path, at)
        with pytest.raises(UserError, match=r"net\.\w+ was altered"):
            dakd_jax.load(path)
        path.write_bytes(content)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="holds no record|cut or damaged|altered"):
        dakd_jax.load(path)


def resigned(path, change):
    """The file with another record, whose hash is right."""
    content = path.read_bytes()
    start = content.rfind(b'{"dakd_export": ')
    record, length = json.JSONDecoder().raw_decode(content[start:].decode("latin-1"))
    change(record)
    record["sha256"] = "0" * 64
    path.write_bytes(artefact.signed(content[:start] + json.dumps(record).encode() + content[start + length :]))


def test_records_that_cannot_be(net, tmp_path):
    file = exporting.export(net, Wanted("stablehlo", size=(64, 32)), tmp_path / "net.stablehlo").path
    content = file.read_bytes()
    for change, message in (
        (lambda record: record.update(dakd_export=2), "format version 2"),
        (lambda record: record["classes"].pop(), "contradicts itself"),
        (lambda record: record["palette"].pop(), "contradicts itself"),
        (lambda record: record.update(format="exe"), "contradicts itself"),
        (lambda record: record["golden"].update(pairs=[]), "contradicts itself"),
    ):
        resigned(file, change)
        with pytest.raises(UserError, match=message):
            artefact.read(file)
        file.write_bytes(content)
    resigned(file, lambda record: record["golden"]["pairs"].__setitem__(0, swapped(record["golden"]["pairs"][0])))
    with pytest.raises(UserError, match="golden pair .*% of the labels are the network's, and 99.900% were promised"):
        proof.check(artefact.read(file))


def swapped(packed):
    pair = artefact.Pair.unpacked(packed)
    return dataclasses.replace(pair, labels=pair.labels[::-1]).packed()


def test_others_files_are_refused(tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"\x08\x0a" + bytes(100))
    with pytest.raises(UserError, match="holds no record of dakd export"):
        dakd_jax.load(tmp_path / "other.onnx")
    with pytest.raises(UserError, match="there is no such file"):
        artefact.read(tmp_path / "none.onnx")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(UserError, match="holds no record of dakd export"):
        dakd_jax.load(tmp_path / "saved")


def test_code_of_another_machine_is_not_run(net, tmp_path, monkeypatch):
    path = exporting.export(net, Wanted("savedmodel", size=(64, 32)), tmp_path / "saved").path
    dakd_jax.load(path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="a SavedModel is code"):
        dakd_jax.load(path)
    assert dakd_jax.load(path, trust=True).size == (64, 32)
    flipped(next(path.glob("variables/*")), 0) if any(path.glob("variables/*")) else flipped(path / "saved_model.pb", 9)
    with pytest.raises(UserError, match="was altered"):
        dakd_jax.load(path, trust=True)


def test_a_zip_tool_shows_the_record(net, tmp_path):
    path = exporting.export(net, Wanted("stablehlo", size=(64, 32)), tmp_path / "net.stablehlo").path
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() in (None, "dakd_export.json")  # the hash came in after the archive's own checksum
        assert archive.namelist() == ["dakd_export.json"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("caffe"), "--format=caffe: expected one of stablehlo, onnx, tflite, savedmodel"),
        (Wanted("onnx", "float8"), "--dtype=float8"),
        (Wanted("onnx", "bfloat16"), "nearest: --format=onnx --dtype=float16"),
        (Wanted("stablehlo", "float16"), "nearest: --format=stablehlo --dtype=bfloat16"),
        (Wanted("savedmodel", "int8", (64, 32)), "nearest: --format=onnx --dtype=int8, or --format=savedmodel"),
        (Wanted("tflite", "int8"), "wants a size"),
        (Wanted("onnx", "int8", (64, 32)), "--calibrate"),
        (Wanted("onnx", size=(64, 31)), "at least 32 pixels"),
        (Wanted("onnx", size=(99999, 99999)), "at most"),
    ],
)  # fmt: skip
def test_what_there_is_not(net, tmp_path, wanted, message):
    with pytest.raises(UserError, match=message):
        exporting.export(net, wanted, tmp_path / f"net{export.ENDINGS.get(wanted.format)}")
    assert not list(tmp_path.glob("net*"))


def test_where_it_cannot_be_written(net, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"a file of onnx ends in \.onnx"):
        exporting.export(net, Wanted("onnx", size=(64, 32)), tmp_path / "net.tflite")
    (tmp_path / "full" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match="name a new one"):
        exporting.export(net, Wanted("savedmodel", size=(64, 32)), tmp_path / "full")

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(atomic_files, "write_bytes", full)
    with pytest.raises(UserError, match="cannot write .*net.onnx: No space left"):
        exporting.export(net, Wanted("onnx", size=(64, 32)), tmp_path / "net.onnx")


def test_missing_packages_are_a_line(monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="onnx needs onnx and onnxruntime: pip install -r requirements-deploy.txt"):
        export.check("onnx", "float32", dynamic=False)


# From the command line


def test_commands(chain, run_py):
    run = chain[0]
    ended = run_py(["--mode=export", f"{run}#case_b", "--format=onnx"])
    assert ended.code == 0, ended.stderr
    (made,) = (run / "exports").iterdir()
    width, height = tiny_runs.SIZE
    assert made.name == f"case_b-{width}x{height}-float32.onnx"
    assert (
        "golden pair (toy city, " in ended.stdout and "5 pictures: 100.000% of the labels agree; mIoU" in ended.stdout
    )
    ended = run_py(["--mode=check", str(made)])
    assert ended.code == 0 and "here: 100.000%" in ended.stdout and "19 classes: road, " in ended.stdout
    ended = run_py(["--mode=verify", f"--workdir={run}"])
    assert ended.code == 0 and f"exports/{made.name}: as recorded" in ended.stdout
    flipped(made, 200)
    ended = run_py(["--mode=verify", f"--workdir={run}"])
    assert ended.code == 1 and "was altered" in ended.stdout
    ended = run_py(["--mode=check", str(made)])
    assert ended.code == 2 and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    ended = run_py(["--mode=export", str(run), "--size=12"])
    assert ended.code == 2 and "--size=12: expected WIDTHxHEIGHT" in ended.stderr
    pathlib.Path(made).unlink()
