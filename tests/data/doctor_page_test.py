"""The doctor's page: self-contained, escaped, and it shows what is suspicious first."""

import io
import re

import numpy as np
import pytest
import tiny_datasets as tiny
from PIL import Image

from data_pipelines.doctor import auditing
from data_pipelines.doctor.page import contact_sheet, histogram_plot, page
from data_pipelines.doctor.page.as_json import as_json
from data_pipelines.reading import label_spaces


@pytest.fixture
def root(tmp_path):
    tiny.write_gta5(tmp_path, 12, sizes=[tiny.SIZE])
    return tmp_path


def audit(root):
    return auditing.audit("gta5", root)


def sheet(root):
    made = audit(root)
    return contact_sheet.tiles(made.splits["train"], made.findings)


def opened(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_the_page_needs_no_other_file_and_is_the_same_twice(root, tmp_path):
    made = audit(root)
    path = page.write(made, tmp_path / "out")
    text = path.read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert sources and all(source.startswith("data:") for source in sources) and "url(" not in text
    assert sorted(p.name for p in path.parent.iterdir()) == ["findings.json", "index.html"]
    assert page.render(audit(root)) == text
    assert text.count("<figure") == contact_sheet.PER_SPLIT and made.fingerprints["train"]["pictures"] not in text
    assert made.fingerprints["train"]["pictures and labels"] in text


def test_names_of_files_are_escaped(root):
    tiny.save(root / "images" / "<img src=x onerror=alert(1)>.png", tiny.picture(0))
    text = page.render(audit(root))
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;.png" in text


def test_suspicious_pairs_come_first_and_the_rest_is_a_sample(root):
    (root / "labels" / "00009.png").unlink()
    (root / "images" / "00011.png").write_bytes(b"text")
    tiles = sheet(root)
    assert [(tile.name, tile.checks) for tile in tiles[:1]] == [("00011", ("readable",))]
    assert tiles[0].picture is None and tiles[0].label is not None
    assert len({tile.name for tile in tiles}) == len(tiles) == contact_sheet.PER_SPLIT
    assert not any(tile.checks for tile in tiles[1:])
    assert [tile.name for tile in sheet(root)] == [tile.name for tile in tiles]
    assert "cannot be read" in page.render(audit(root))


def test_a_pair_is_shown_as_training_reads_it(root):
    ids = np.array([[7, 26, 200], [0, 34, 7]], np.uint8).repeat(2, 0).repeat(2, 1)
    tiny.save(root / "labels" / "00003.png", ids, palette=True)
    tiny.save(root / "images" / "00003.png", np.full((4, 6, 3), 90, np.uint8))
    (tile,) = (tile for tile in sheet(root) if tile.name == "00003")
    road, car = (label_spaces.PALETTE[i].tolist() for i in (0, 13))
    shown = opened(tile.label)
    height, width, _ = shown.shape
    assert width == contact_sheet.WIDTH and opened(tile.picture).shape == shown.shape
    cells = [
        shown[height * (2 * row + 1) // 4, width * (2 * column + 1) // 6].tolist()
        for row in range(2)
        for column in range(3)
    ]
    assert cells == [road, car, list(contact_sheet.UNKNOWN_COLOUR), [0, 0, 0], [0, 0, 0], road]
    assert np.abs(opened(tile.picture).astype(int) - 90).max() < 3


def test_labels_that_cannot_be_shown(root):
    tiny.save(root / "labels" / "00001.png", np.zeros((16, 24), np.uint16))
    tiny.save(root / "labels" / "00002.png", np.zeros((16, 24, 3), np.uint8) + np.uint8([70, 130, 180]))
    tiles = {tile.name: tile for tile in sheet(root)}
    assert tiles["00001"].label is None and tiles["00001"].checks
    assert opened(tiles["00002"].label)[0, 0].tolist() == [70, 130, 180]


def test_no_plot_without_counts_and_never_for_what_is_absent(monkeypatch):
    assert histogram_plot.class_shares({"train": np.zeros((0, 20), np.int64)}) is None
    said = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda self, x, y, text, **more: said.append(text))
    counts = np.zeros((4, 20), np.int64)
    counts[:, 0], counts[0, 13], counts[:, 19] = 800, 200, 7777
    assert histogram_plot.class_shares({"train": counts})[:4] == b"\x89PNG"
    assert said[0] == "94 %, in 100 % of labels" and said[13] == "6 %, in 25 % of labels"
    assert said[19] == "90 %, in 100 % of labels (of all pixels)"
    assert set(said) - {said[0], said[13], said[19]} == {"never"}


@pytest.mark.parametrize(("share", "text"), [(1, "100 %"), (0.0961, "10 %"), (0.009, "0.9 %"), (3.21e-7, "0.00003 %")])
def test_shares_in_plain_digits(share, text):
    assert histogram_plot._percent(share) == text


def test_json_for_other_programs(root):
    (root / "labels" / "00009.png").unlink()
    found = as_json(audit(root))
    train = found["splits"]["train"]
    assert (found["dataset"], found["quick"], found["ok"]) == ("gta5", False, False)
    assert (train["pictures"], train["labels"], train["decoded"]) == (12, 11, 12)
    assert train["sizes"] == {"24x16": 12} and train["checks"]["pairs"]["severity"] == "error"
    assert sum(train["class_pixels"].values()) == 11 * 24 * 16 and train["class_pictures"]["void"] == 11
    assert found["findings"][0]["files"] == [str(root / "labels" / "00009.png")]
