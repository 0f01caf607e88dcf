"""dakd_jax.load: which network a path means, and that it says of pictures what evaluation says of them."""

import gc
import json
import shutil
import subprocess
import sys
import weakref

import handmade_pictures as handmade
import jax
import numpy as np
import pytest
import tiny_runs
from PIL import Image

import dakd_jax
from dakd_jax.basics import kept_arrays
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import full_size, loaded
from dakd_jax.evaluation import predict
from data_pipelines.basics.errors import DataError
from data_pipelines.feeding.feed import Feed


@pytest.fixture(autouse=True)
def quickly():
    with tiny_runs.quick_compilation():
        yield


@pytest.fixture
def net(chain):
    return dakd_jax.load(chain[0])


@pytest.fixture
def street(toy_city):
    """A picture of target val."""
    return sorted(toy_city.glob("cityscapes/leftImg8bit/val/*/*.png"))[0]


def kept(folder):
    """{name: predictions} that evaluation keeps of a stage."""
    (path,) = folder.glob("evaluation-native-*.npz")
    arrays = kept_arrays.read(path)[1]
    return {name.split("/")[-1]: array for name, array in arrays.items() if name.startswith("prediction/")}


# The same as evaluation


@pytest.mark.parametrize("name", ["source_only", "teacher", "case_b", "case_d"])
def test_predictions_are_those_of_evaluation(chain, toy_city, name):
    folder = tiny_runs.stage_folder(chain[0], name)
    net, expected = dakd_jax.load(folder), kept(folder)
    paths = {path.stem.removesuffix("_leftImg8bit"): path for path in toy_city.glob("cityscapes/leftImg8bit/val/*/*")}
    assert len(expected) == 3 and expected.keys() <= paths.keys()
    for picture, labels in expected.items():
        np.testing.assert_array_equal(net.predict(paths[picture]), labels)
    together = net.predict_batch([paths[picture] for picture in paths])  # 5: four at once and one
    for picture, labels in zip(paths, together, strict=True):
        np.testing.assert_array_equal(labels, net.predict(paths[picture]))
        assert picture not in expected or np.array_equal(labels, expected[picture])


@pytest.fixture
def lively_net(lively):
    return dakd_jax.load(lively[0], arch="tiny", size=tiny_runs.SIZE)


def test_several_classes_are_those_of_evaluation(lively, lively_net, toy_city):
    feed = Feed(tiny_runs.config(toy_city).data)
    batches = feed.eval_batches(image_size=tiny_runs.SIZE, label_size=None, resample="bicubic", batch_size=2)
    names = frozenset(feed.evaluation_names())
    _, expected = predict.evaluate(*lively[1:], batches, predict.PROTOCOLS["native"], keep=names)
    paths = sorted(toy_city.glob("cityscapes/leftImg8bit/val/*/*.png"))
    assert len(names) == len(paths) == 5
    classes = set()
    for path in paths:
        labels = lively_net.predict(path)
        classes |= set(np.unique(labels))
        np.testing.assert_array_equal(labels, expected[path.stem.removesuffix("_leftImg8bit")])
    assert len(classes) > 3


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 32), (131, 77), (40, 700)], ids=str)
def test_tiles_say_what_the_whole_says(lively_net, street, monkeypatch, size):
    net = lively_net
    picture = Image.open(street).convert("RGB").resize(size)
    labels, shares = net.predict(picture), net.probabilities(picture)
    assert labels.shape == size[::-1] and labels.dtype == np.uint8
    assert shares.shape == (*size[::-1], 19) and shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(shares.argmax(-1), labels)
    monkeypatch.setattr(full_size, "MOST_VALUES", 0)
    np.testing.assert_array_equal(net.predict(picture), labels)
    np.testing.assert_allclose(net.probabilities(picture), shares, atol=1e-4)  # its logits are large


def test_a_large_picture_is_never_held_for_all_classes(net, street, monkeypatch):
    sizes, tile = [], full_size._tile

    def watched(*arguments, **how):
        found = tile(*arguments, **how)
        sizes.append(found["labels"].size)
        return found

    monkeypatch.setattr(full_size, "_tile", watched)
    monkeypatch.setattr(full_size, "_whole", None)
    monkeypatch.setattr(full_size, "MOST_VALUES", 200 * 1000 * 19 - 1)
    labels = net.predict(np.zeros((200, 1000, 3), np.uint8))
    assert labels.shape == (200, 1000) and set(sizes) == {np.prod(full_size.TILE)} and len(sizes) == 4 * 2


def test_neither_the_network_nor_the_tiles_are_compiled_for_each_size(net, street, monkeypatch):
    monkeypatch.setattr(full_size, "MOST_VALUES", 0)
    net.predict(street)
    before = loaded._log_probabilities._cache_size(), full_size._tile._cache_size()
    for size in ((9, 9), (100, 30), (30, 100)):
        net.predict(Image.open(street).resize(size))
    assert (loaded._log_probabilities._cache_size(), full_size._tile._cache_size()) == before


# Pictures


def test_a_picture_may_be_a_path_one_of_pillow_s_or_an_array(lively_net, street):
    net = lively_net
    labels = net.predict(street)
    for picture in (str(street), Image.open(street), np.asarray(Image.open(street).convert("RGB"))):
        np.testing.assert_array_equal(net.predict(picture), labels)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "CMYK", "1"])
def test_of_any_mode(lively_net, street, tmp_path, mode):
    net, picture = lively_net, Image.open(street).convert("RGB").convert(mode)
    picture.info["transparency"] = 0  # as a GIF's; it stays
    labels = net.predict(picture)
    np.testing.assert_array_equal(labels, net.predict(np.asarray(picture.convert("RGB"))))
    picture.save(tmp_path / "p.tif")
    np.testing.assert_array_equal(net.predict(tmp_path / "p.tif"), labels)
    assert picture.info["transparency"] == 0


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("load", [False, True])
def test_answers_lie_upright(lively_net, street, tmp_path, ending, load):
    net, path, exif = lively_net, tmp_path / f"p.{ending}", Image.Exif()
    exif[0x0112] = 6  # turned on its side
    Image.open(street).convert("RGB").save(path, exif=exif)
    labels = net.predict(path)
    assert labels.shape == (64, 48)
    picture = Image.open(path)
    if load:
        picture.load()
    np.testing.assert_array_equal(net.predict(picture), labels)
    assert net.overlay(path, labels).shape == (64, 48, 3)


@pytest.mark.parametrize("handed", [lambda path: path, Image.open], ids=["path", "pillow"])
def test_more_than_8_bits(chain, tmp_path, handed):
    path = tmp_path / "wide.png"
    wide = np.random.default_rng(0).integers(0, 4096, (16, 24, 3)).astype(np.uint16)
    path.write_bytes(handmade.png(wide))
    with pytest.raises(DataError, match="nothing says which value is white"):
        dakd_jax.load(chain[0]).predict(handed(path))
    net = dakd_jax.load(chain[0], bit_depth=12)
    as_bytes = np.rint(wide * 255.0 / 4095).astype(np.uint8)
    np.testing.assert_array_equal(net.probabilities(handed(path)), net.probabilities(as_bytes))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4), np.uint8), "uint8 [4, 4]; convert it"),
        (np.zeros((4, 4, 3)), "float64 [4, 4, 3]"),
        (np.zeros((0, 4, 3), np.uint8), "[0, 4, 3]"),
        (Image.new("RGB", (0, 3)), "0x3 pixels"),
        ("nowhere.png", "nowhere.png: cannot be read as a picture (No such file"),
    ],
    ids=["grey", "float", "empty", "none", "missing"],
)
def test_no_picture_is_one_line(net, picture, said):
    with pytest.raises(DataError) as raised:
        net.predict(picture)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_colours_and_overlays(net, street):
    labels, pixels = net.predict(street), np.asarray(Image.open(street).convert("RGB"))
    assert net.classes[:2] == ("road", "sidewalk") and len(net.classes) == 19
    np.testing.assert_array_equal(net.palette(labels), net.colours[labels])
    assert not net.palette(np.full((2, 2), 255, np.uint8)).any()
    expected = (pixels.astype(int) + net.colours[labels] + 1) // 2
    np.testing.assert_array_equal(net.overlay(street, labels), expected)
    with pytest.raises(UserError, match="hand in what predict says"):
        net.overlay(street, labels[1:])


# Which network


def test_a_run_is_the_last_stage_of_its_goal(chain, net):
    folder = tiny_runs.stage_folder(chain[0], "case_d")
    assert net.found.place.path == folder / "model.pth" and net.size == tiny_runs.SIZE
    assert net.licences.keys() == {"gta5", "cityscapes"}
    teacher = dakd_jax.load(f"{chain[0]}#teacher")
    assert teacher.found.place.path.parent == tiny_runs.stage_folder(chain[0], "teacher")
    for path in (folder, folder / "model.pth", folder / "model.safetensors"):
        assert dakd_jax.load(path).found.identity()["network"] == net.found.identity()["network"]


@pytest.fixture
def stage(chain, tmp_path):
    """A copy of a stage's folder."""
    return shutil.copytree(
        tiny_runs.stage_folder(chain[0], "case_d"), tmp_path / "run" / "stages" / "case_d-0123456789"
    )


def record(folder, **changes):
    """Changes a stage's record; None takes a key out."""
    told = json.loads((folder / "record.json").read_text()) | changes
    (folder / "record.json").write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


def test_several_of_one_name_are_named(stage):
    shutil.copytree(stage, stage.with_name("case_d-9876543210"))
    with pytest.raises(UserError, match="more than once; name one of case_d-0123456789, case_d-9876543210"):
        dakd_jax.load(stage.parents[1])
    assert dakd_jax.load(f"{stage.parents[1]}#case_d-9876543210").found.place.path.parent.name == "case_d-9876543210"


def test_a_stage_that_is_not_finished_is_not_taken_for_another(stage):
    shutil.copytree(stage, other := stage.with_name("teacher-0123456789"))
    record(stage, status="training")
    record(other, stage="teacher")
    with pytest.raises(UserError, match="no finished stage case_d; finished there: teacher-0123456789"):
        dakd_jax.load(stage.parents[1])


def test_an_older_record_lacks_classes_and_colours(stage, street, net):
    record(stage, class_names=None, palette=None, licences=None)
    older = dakd_jax.load(stage)
    np.testing.assert_array_equal(older.predict(street), net.predict(street))
    assert older.classes[0] == "class 0" and len(set(map(tuple, older.colours))) == 19 and older.licences == {}
    assert dakd_jax.load(stage, classes=net.classes, palette=net.colours).classes == net.classes


def test_a_plugin_that_only_its_training_wanted_need_not_be_there(stage):
    config = json.loads((stage / "record.json").read_text())["config"]
    record(stage, config=config | {"plugins": ["gone.py"]})
    assert dakd_jax.load(stage).classes
    record(stage, config=config | {"plugins": ["gone.py"], "student": config["student"] | {"arch": "mine"}})
    with pytest.raises(UserError, match="there is no file gone.py"):
        dakd_jax.load(stage)


@pytest.mark.parametrize("file", ["model.pth", "model.safetensors"])
def test_a_file_without_a_record_is_what_the_caller_says(stage, street, net, tmp_path, file):
    bare = shutil.copy(stage / file, tmp_path / f"bare.{file.split('.')[-1]}")
    with pytest.raises(UserError, match="no record beside it says what network it is; say it: dakd_jax.load"):
        dakd_jax.load(bare)
    found = dakd_jax.load(bare, arch="tiny", size=tiny_runs.SIZE, classes=net.classes)
    np.testing.assert_array_equal(found.predict(street), net.predict(street))
    assert found.classes == net.classes
    assert len(dakd_jax.load(bare, arch="tiny", size=tiny_runs.SIZE).classes) == 19


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"arch": "tinny"}, "did you mean tiny"),
        ({"width": 2.0}, "choose the width"),
        ({"classes": 7}, "choose the class count"),
        ({"classes": "road"}, "classes='road': expected 2 to 255 names"),
        ({"size": (640,)}, "expected (width, height)"),
        ({"main_tap": "nowhere"}, "main_tap='nowhere': expected one of"),
        ({"archh": "tiny"}, "archh= is no argument"),
        ({"palette": [[0, 0, 0]]}, "no table of 19 colours"),
        *[({"palette": wrong}, "no table of 19 colours") for wrong in ("red", 3, {"road": "red"}, [["red"] * 3] * 19)],
        *[({"width": wrong}, f"width={wrong!r}: expected a number") for wrong in ("x", True, (1,), [], 1j)],
        *[({"output_stride": wrong}, "expected a whole number") for wrong in ("8", 8.0, True, [8])],
        *[({"plugins": wrong}, "plugins=") for wrong in (3, [3], {"a": 1}, 0.5)],
        *[({"classes": wrong}, "expected 2 to 255 names") for wrong in (3.5, True, 1, 300, [None, 2], {2: 3}, b"ab")],
        *[({"size": wrong}, "expected (width, height)") for wrong in (64, "64x32", (64.0, 32), (64, 0), ((6, 4), 2))],
        *[({"bit_depth": wrong}, "expected how many bits") for wrong in ("12", 12.0, 8, 40, [12])],
        *[
            ({name: 3}, f"{name}=3: expected")
            for name in ("arch", "main_tap", "auxiliary_tap", "normaliser", "decoder")
        ],
        ({"arch": ["tiny"]}, "the name of an architecture"),
    ],
)
def test_what_the_caller_says_wrongly_is_one_line(stage, tmp_path, how, said):
    bare = shutil.copy(stage / "model.pth", tmp_path / "bare.pth")
    with pytest.raises(UserError) as raised:
        dakd_jax.load(bare, **{"arch": "tiny", "size": tiny_runs.SIZE, **how})
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_numbers_of_numpy_and_one_plugin_are_as_good(stage, tmp_path, net):
    bare = shutil.copy(stage / "model.pth", tmp_path / "bare.pth")
    how = {"width": np.float32(1), "size": np.array(tiny_runs.SIZE), "classes": np.int64(19), "plugins": ()}
    found = dakd_jax.load(bare, arch="tiny", **how, output_stride=None)
    assert found.found.identity()["network"] == net.found.identity()["network"] and found.size == net.size
    with pytest.raises(UserError, match="no file gone.py"):
        dakd_jax.load(bare, arch="mine", size=(64, 32), plugins="gone.py")
    with pytest.raises(UserError, match="3 is no path"):
        dakd_jax.load(3)


def test_loading_and_predicting_leave_the_settings_of_jax_alone(stage, street):
    before = dict(jax.config.values)
    dakd_jax.load(stage).predict(street)
    assert dict(jax.config.values) == before


def test_what_a_record_says_is_not_said_again(stage, tmp_path):
    with pytest.raises(UserError, match="says what this network is: leave arch=, size= out"):
        dakd_jax.load(stage, arch="tiny", size=(64, 32))
    with pytest.raises(UserError, match="no checkpoint at"):
        dakd_jax.load(tmp_path / "nowhere")
    (tmp_path / "empty" / "stages").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no finished stage"):
        dakd_jax.load(tmp_path / "empty")


def test_importing_the_package_brings_no_jax():
    code = "import sys, dakd_jax; assert dakd_jax.load; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tiny_runs.PROJECT).returncode == 0


def test_programs_for_sizes_are_forgotten():
    program = full_size._whole((3, 3), ("labels",))
    program(jax.numpy.zeros((4, 4, 3)))
    gone = weakref.ref(program)
    del program
    full_size._whole.cache_clear()
    gc.collect()
    assert gone() is None and full_size._whole.cache_parameters()["maxsize"] == full_size._SIZES
