"""The toy city: deterministic, exactly labelled, whole on disk or absent, in the layouts of the datasets."""

import json
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_pipelines.basics import parallel
from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import toy_streets
from data_pipelines.datasets.toy_streets import LOOKS, ToyCity, layouts, scene, writer
from data_pipelines.datasets.toy_streets.drawing import materials
from data_pipelines.datasets.toy_streets.drawing.painting import Camera, paint
from data_pipelines.reading.label_spaces import CITYSCAPES_CLASSES, LABEL_ID_TO_TRAIN_ID, PALETTE

SMALL = ToyCity(seed=3, size=(64, 32), num_train=4, num_val=2)


@pytest.fixture(scope="module")
def small_city(tmp_path_factory):
    return toy_streets.ensure(tmp_path_factory.mktemp("toy") / "city", SMALL)


def _files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_same_city_same_bytes_on_one_process_or_two(small_city, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)
    again = toy_streets.ensure(tmp_path / "again", SMALL, workers=2)
    assert _files(small_city) == _files(again)


def test_renders_here_when_no_process_can_be_started(small_city, tmp_path, monkeypatch):
    class BrokenPool:
        def __init__(self, *args, **kwargs):
            pass

        def map(self, *args, **kwargs):
            raise parallel.BrokenProcessPool("no processes today")

        def shutdown(self, **kwargs):
            pass

    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", BrokenPool)
    assert _files(toy_streets.ensure(tmp_path / "city", SMALL)) == _files(small_city)


def test_pictures_do_not_depend_on_how_many_there_are(small_city, tmp_path):
    larger = ToyCity(SMALL.seed, SMALL.size, num_train=5, num_val=2)
    more = _files(toy_streets.ensure(tmp_path / "larger", larger))
    for name, content in _files(small_city).items():
        assert name == writer.MANIFEST or more[name] == content


def test_seed_look_split_and_index_all_matter():
    keys = [(0, "european", "val", 0), (1, "european", "val", 0), (0, "synthetic", "val", 0)]
    keys += [(0, "european", "train", 0), (0, "european", "val", 1)]
    labels = [toy_streets.render(*key, (64, 32)).label for key in keys]
    assert len({label.tobytes() for label in labels}) == len(keys)


def test_layouts_on_disk(small_city):
    names = set(_files(small_city))
    expected = {writer.MANIFEST}
    for i in range(4):
        expected |= {f"gta5/{kind}/{i + 1:05d}.png" for kind in ("images", "labels")}
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            expected.add(f"bdd100k/seg/images/{split}/toy{split}-{i:05d}.jpg")
            expected.add(f"bdd100k/seg/labels/{split}/toy{split}-{i:05d}_train_id.png")
            city = layouts.CITIES[split][i % len(layouts.CITIES[split])]
            stem = f"{split}/{city}/{city}_{i:06d}_000019"
            expected.add(f"cityscapes/leftImg8bit/{stem}_leftImg8bit.png")
            expected |= {f"cityscapes/gtFine/{stem}_gtFine_{kind}.png" for kind in ("labelIds", "labelTrainIds")}
    assert names == expected


def test_labels_on_disk_hold_what_was_rendered(small_city):
    for i in range(4):
        picture = toy_streets.render(SMALL.seed, "synthetic", "train", i, SMALL.size)
        with Image.open(small_city / f"gta5/labels/{i + 1:05d}.png") as label:
            assert label.mode == "P"
            ids = np.array(label)
            assert (np.array(label.convert("RGB"))[picture.label == 0] == PALETTE[0]).all()
        with Image.open(small_city / f"gta5/images/{i + 1:05d}.png") as image:
            np.testing.assert_array_equal(np.array(image), picture.image)
        np.testing.assert_array_equal(LABEL_ID_TO_TRAIN_ID[ids], picture.label)
    for path in (small_city / "cityscapes/gtFine").rglob("*_labelIds.png"):
        ids = np.array(Image.open(path))
        train_ids = np.array(Image.open(str(path).replace("_labelIds", "_labelTrainIds")))
        np.testing.assert_array_equal(LABEL_ID_TO_TRAIN_ID[ids], train_ids)


def test_class_numbers_are_those_of_cityscapes():
    for number, name in enumerate(CITYSCAPES_CLASSES):
        assert materials.Label[name.upper().replace(" ", "_")] == number


@pytest.mark.parametrize("look", LOOKS)
def test_labels_are_legal_and_every_class_occurs(look):
    counts = np.zeros(256, np.int64)
    for i in range(60):
        picture = toy_streets.render(0, look, "val", i, (128, 64))
        assert picture.image.dtype == picture.label.dtype == np.uint8
        assert picture.image.shape == (*picture.label.shape, 3)
        counts += np.bincount(picture.label.ravel(), minlength=256)
    assert counts[19:255].sum() == 0
    missing = [name for name, count in zip(CITYSCAPES_CLASSES, counts, strict=False) if count < 200]
    assert not missing


@pytest.mark.parametrize("size", [(96, 48), (96, 72)])
def test_the_bonnet_is_ignored_and_stays_at_the_lower_edge(size):
    labels = [toy_streets.render(0, "european", "train", i, size).label for i in range(12)]
    rows = [np.nonzero(label == 255)[0] for label in labels if (label == 255).any()]
    assert len(rows) >= 3
    assert all(found.max() == size[1] - 1 and found.min() > size[1] * 0.85 for found in rows)


def test_sizes_vary_in_the_gta5_layout_only():
    sizes = {look: {toy_streets.render(0, look, "train", i, (64, 32)).label.shape for i in range(12)} for look in LOOKS}
    assert len(sizes["synthetic"]) > 1
    assert sizes["american"] == sizes["european"] == {(32, 64)}


@pytest.mark.parametrize("look", LOOKS)
def test_label_equals_a_plain_drawing_of_the_same_faces(look):
    """Painting the faces one after another in palette colours, without the face table, gives the same."""
    size = (256, 128)
    street = scene.random_scene(Random(5), LOOKS[look].layout)
    raster = paint(street.faces, street.camera, size)
    plain = Image.new("RGB", size, tuple(PALETTE[materials.Label.SKY]))
    draw = ImageDraw.Draw(plain)
    colours = np.zeros((256, 3), np.uint8)
    colours[:19] = PALETTE
    for face in street.faces:
        outline = street.camera.project(face.points, size)
        if len(outline) > 2:
            draw.polygon(outline, fill=tuple(int(c) for c in colours[face.label]))
    np.testing.assert_array_equal(np.asarray(plain), colours[raster.labels[raster.faces]])


def test_label_edges_lie_on_image_edges():
    """Of all shifts of the label, none fits the picture's edges better than no shift at all."""
    scores = {}
    for i in range(6):
        image, label = toy_streets.render(1, "synthetic", "train", i, (192, 96))
        slope = np.abs(np.diff(image.astype(float).sum(-1), axis=1))[8:-8, 8:-8]
        edge = (np.diff(label.astype(int), axis=1) != 0).astype(float)
        for dy in range(-4, 5, 2):
            for dx in range(-4, 5, 2):
                shifted = np.roll(edge, (dy, dx), (0, 1))[8:-8, 8:-8]
                scores[dy, dx] = scores.get((dy, dx), 0) + (shifted * slope).sum() / shifted.sum()
    assert max(scores, key=scores.get) == (0, 0)
    assert scores[0, 0] > 1.2 * sorted(scores.values())[-2]


def test_projection_agrees_with_the_pinhole_formula_and_clips_what_is_behind():
    camera = Camera(x=1.0, height=1.5, focal=0.8, horizon=0.45, bend=0.0)
    assert camera.project([(1.0, 1.5, 7.0)], (200, 100)) == [(100.0, 45.0)]
    assert camera.project([(3.0, 0.0, 10.0)], (200, 100)) == [pytest.approx((132.0, 69.0))]
    assert camera.project([(0, 0, -1.0), (1, 0, -2.0), (1, 1, -1.0)], (200, 100)) == []
    assert len(camera.project([(0, 0, -1.0), (0, 0, 5.0), (1, 0, 5.0), (1, 0, -1.0)], (200, 100))) == 4


def test_second_call_renders_nothing(small_city, monkeypatch):
    monkeypatch.setattr(writer, "render", lambda *args: pytest.fail("rendered again"))
    assert toy_streets.ensure(small_city, SMALL) == small_city


def test_progress_counts_every_picture(tmp_path):
    seen = []
    city = ToyCity(size=(32, 16), num_train=1, num_val=1)
    toy_streets.ensure(tmp_path / "city", city, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 5) for i in range(5)]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("bug")])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, error):
    calls = []

    def failing(*args):
        calls.append(args)
        if len(calls) == 3:
            raise error
        return toy_streets.render(*args)

    monkeypatch.setattr(writer, "render", failing)
    expected = DataError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        toy_streets.ensure(tmp_path / "city", SMALL)
    assert list(tmp_path.iterdir()) == []
    if expected is DataError:
        assert "No space left" in str(caught.value) and "\n" not in str(caught.value)


def test_an_interrupt_stops_the_processes_before_it_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_A_POOL", 1)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_streets.ensure(tmp_path / "city", ToyCity(size=(64, 32), num_train=30, num_val=1), progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_another_city_in_the_folder_is_an_error(small_city):
    before = _files(small_city)
    with pytest.raises(
        DataError,
        match=r"another toy city \(seed 3 there, 4 asked for\); choose another --conf",
    ):
        toy_streets.ensure(small_city, ToyCity(4, SMALL.size, SMALL.num_train, SMALL.num_val))
    assert _files(small_city) == before


def test_another_renderer_version_is_an_error(small_city, monkeypatch):
    monkeypatch.setattr(writer, "RENDERER_VERSION", -1)
    with pytest.raises(DataError, match="renderer_version"):
        toy_streets.ensure(small_city, SMALL)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="choose another folder"):
        toy_streets.ensure(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_broken_manifest_is_an_error(tmp_path):
    (tmp_path / writer.MANIFEST).write_text("{")
    with pytest.raises(DataError, match="unreadable"):
        toy_streets.ensure(tmp_path, SMALL)


def test_an_empty_folder_is_filled(tmp_path):
    city = ToyCity(size=(32, 16), num_train=1, num_val=1)
    toy_streets.ensure(tmp_path, city)
    assert json.loads((tmp_path / writer.MANIFEST).read_text())["num_train"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"size": (16, 16)},
        {"size": (64,)},
        {"size": ("a", "b")},
        {"size": (64.5, 48)},
        {"num_val": 0},
        {"num_train": -1},
    ],
)
def test_impossible_cities_are_errors(fields):
    with pytest.raises(DataError, match="toy city"):
        ToyCity(**fields)


def test_contact_sheet_shows_pictures_and_labels():
    city = ToyCity(size=(64, 32))
    sheet = toy_streets.contact_sheet(city, per_look=2)
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 2 * 64 + 4
    picture = toy_streets.render(0, "european", "val", 1, city.size)
    assert any(np.array_equal(sheet[y : y + 32, 68:132], picture.image) for y in range(sheet.shape[0] - 31))


def test_looks_differ_in_colour_and_share_their_layout():
    """The gap is in appearance: a class's mean colours lie far apart, while class frequencies stay close."""
    colour, frequency = {}, {}
    of = materials.Label
    shown = (of.ROAD, of.SIDEWALK, of.BUILDING, of.VEGETATION, of.SKY)
    for look in LOOKS:
        pictures = [toy_streets.render(0, look, "train", i, (96, 48)) for i in range(24)]
        labels = np.concatenate([p.label.ravel() for p in pictures])
        pixels = np.concatenate([p.image.reshape(-1, 3) for p in pictures])
        colour[look] = np.array([pixels[labels == number].mean(0) for number in shown])
        frequency[look] = np.bincount(labels[labels < 19], minlength=19) / len(labels)
    for source in ("synthetic", "american"):
        assert np.abs(colour[source] - colour["european"]).max(1).mean() > 25
        assert np.abs(frequency[source] - frequency["european"]).sum() < 0.5
