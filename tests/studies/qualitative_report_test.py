"""The figures as files: every pixel that is drawn, legends, the numbers, and the folder."""

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from qualitative_examples import NAMES, PALETTE, comparison, shown

from dakd_jax.studies import pictures as data
from dakd_jax.studies.kit import error_maps, picture_grid, style
from dakd_jax.studies.pictures import page as qualitative_page
from dakd_jax.studies.pictures import tables

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(style.png_bytes(figure))).convert("RGB"))


def drawn(figure, columns=1):
    """{name of a row: [pixels of each column]} as they are in the PNG."""
    image, found = pixels(figure), {}
    for index, axis in enumerate(figure.axes):
        box = axis.get_window_extent()
        x, y = round(box.x0), image.shape[0] - round(box.y1)
        part = image[y : y + round(box.height), x : x + round(box.width)]
        found.setdefault(figure.axes[index - index % columns].get_ylabel().replace("\n", " "), []).append(part)
    return found


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def coloured(classes, colours):
    table = dict(enumerate(map(tuple, colours.tolist())))
    return np.array([[table.get(int(c), BLACK) for c in row] for row in classes], np.uint8)


def large(small):
    return small.repeat(30, axis=0).repeat(30, axis=1)


def test_a_method_grid_pixel_by_pixel():
    one = shown("a")
    figure = tables.method_grid(comparison(), [one])
    rows = drawn(figure)
    order = ["Image", "Ground truth", "(a) Source distillation", "(d) Target, init. from (c)", "Teacher", "Student"]
    assert list(rows) == order
    maps = [one.label, *(one.predictions[network] for network in ("case_a", "case_d", "teacher", "student"))]
    for name, expected in zip(order[1:], maps, strict=True):
        np.testing.assert_array_equal(rows[name][0], large(coloured(expected, PALETTE)), err_msg=name)
    assert {axis.images[0].get_interpolation() for axis in figure.axes[1:]} == {"nearest"}  # at other scales as well
    # The photograph is smoothed: right on average over its large pixels.
    means = rows["Image"][0].reshape(10, 30, 29, 30, 3).mean(axis=(1, 3))
    assert np.corrcoef(means.ravel(), one.image.ravel())[0, 1] > 0.95
    assert legend(figure) == [*NAMES, "ignored"]
    assert figure.axes[0].get_title() == "33.3 \N{RIGHTWARDS ARROW} 66.7"


def test_an_error_map_grid_pixel_by_pixel():
    one = shown("a", classes=(0, 2))
    figure = tables.error_map_grid(comparison(), [one])
    rows = drawn(figure)
    assert list(rows)[2:] == ["Student", "(a) Source distillation", "(d) Target, init. from (c)"]
    before = one.predictions["student"]
    np.testing.assert_array_equal(rows["Student"][0], large(coloured(before, PALETTE)))
    for case, name in (("case_a", "(a) Source distillation"), ("case_d", "(d) Target, init. from (c)")):
        after = one.predictions[case]
        for (y, x), label in np.ndenumerate(one.label):
            kinds = {(0, 1): "repaired", (1, 0): "broken", (0, 0): "both wrong", (1, 1): "both right"}
            kind = kinds[int(before[y, x] == label), int(after[y, x] == label)] if label != 255 else "not labelled"
            (colour,) = (of.rgb for of in error_maps.LEGEND if of.name == kind)
            block = rows[name][0][30 * y : 30 * y + 30, 30 * x : 30 * x + 30]
            assert (block == colour).all(), (case, y, x)
    assert legend(figure) == ["road", "car", "repaired", "broken", "both wrong", "both right", "not labelled"]


def test_pictures_of_two_shapes_keep_theirs():
    pair = [shown("a", (20, 40)), shown("b", (10, 40))]
    fitted, ratio = tables.fitted(pair)
    width = picture_grid.PRINT.picture_width(2)
    assert ratio == 0.5 and [p.label.shape for p in fitted] == [(width // 2, width), (round(width / 4), width)]
    assert fitted[1].image.shape == (round(width / 4), width, 3)
    rows = drawn(tables.method_grid(comparison(), pair), columns=2)
    tall, flat = rows["Teacher"]
    np.testing.assert_array_equal(tall, coloured(fitted[0].predictions["teacher"], PALETTE))
    seen = flat[(flat != WHITE).any(axis=2).any(axis=1)]
    assert abs(len(seen) - width / 4) <= 2 and {tuple(c) for c in seen.reshape(-1, 3)} == set(map(tuple, PALETTE))


def test_a_network_without_a_short_name_is_called_by_its_title():
    titles = {**comparison().titles, "case_x": "Something that is very long indeed"}
    figure = tables.method_grid(comparison(titles=titles, cases=("case_x",)), [with_prediction(shown("a"), "case_x")])
    assert figure.axes[2].get_ylabel() == "Something\nthat is very"


def with_prediction(one, network):
    return data.Shown(one.name, one.image, one.label, {**one.predictions, network: one.label % 4})


def test_the_verdict_and_the_changes():
    found = comparison()
    changes = np.array([80 / 120 - 50 / 150, 20 / 180 - 50 / 150, np.nan, 90 / 110 - 80 / 120])
    np.testing.assert_allclose(found.changes(), changes)
    assert tables.verdict(found) == (
        "Title of case_d improves 2 of 3 pictures over the undistilled student and makes 1 worse; "
        f"on average +{100 * np.nanmean(changes):.1f} points of a picture's own mIoU."
    )
    heights = [bar.get_height() for bar in tables.changes_figure(found).axes[0].patches]
    np.testing.assert_allclose(heights, 100 * changes[[0, 3, 1]])
    table = tables.pictures_table(found, "most_improved")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "33.3", "66.7", "+33.3"], ["d", "66.7", "81.8", "+15.2"],
    ]  # fmt: skip


def test_pictures_without_labels_have_no_numbers():
    nothing = data.PictureScores(("a",), {name: np.zeros((1, 4, 4), np.int64) for name in ("student", "case_d")})
    found = comparison(scores=nothing, selections={"chosen": ("a",)})
    assert tables.verdict(found) == "Title of case_d: no picture of target val has a label."
    assert tables.changes_figure(found) is None
    assert list(csv.reader(io.StringIO(tables.scores_csv(found))))[1] == ["a", "", "", "", "chosen"]


@pytest.fixture
def light_figures(monkeypatch):
    """Figures of a moment: what is in them is tested above."""
    for name in ("method_grid", "error_map_grid", "changes_figure"):
        monkeypatch.setattr(tables, name, lambda *arguments: Figure(figsize=(1, 1), dpi=300))


def test_the_folder(light_figures, tmp_path):
    asked = []

    def pictures(names, networks):
        asked.append((names, networks))
        return [shown(name) for name in names]

    found = comparison()
    (tmp_path / "random.png").write_text("of an earlier command")
    (tmp_path / "error_maps_random.pdf").write_text("of an earlier command")
    page = qualitative_page.write_figures(found, pictures, tmp_path)
    drawn_networks = ("case_a", "case_d", "teacher", "student")
    assert asked == [(("a", "d"), drawn_networks), (("b",), drawn_networks)]
    names = [start + name for start in ("", "error_maps_") for name in found.selections]
    expected = {f"{name}.{ending}" for name in names for ending in ("png", "pdf")} | {"index.html", "scores.csv"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    for name in names:
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.info["dpi"]) > 299 and image.size == (300, 300)
        pdf = (tmp_path / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"Date" not in pdf
    rows = {row["picture"]: row for row in csv.DictReader((tmp_path / "scores.csv").open())}
    assert list(rows) == list("abcd") and rows["b"]["figures"] == "chosen" and rows["c"]["miou_student"] == ""
    assert (rows["a"]["miou_case_d"], rows["a"]["change"]) == ("66.6667", "33.3333")
    text = page.read_text()
    assert "A &lt;b&gt;title&lt;/b&gt;" in text and "A &amp; B &lt;script&gt;" in text
    assert text.count("data:image/png;base64,") == 5 and tables.verdict(found).replace("'", "&#39;") in text
    assert all(f'href="{name}"' in text for name in expected - {"index.html"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    qualitative_page.write_figures(found, pictures, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
