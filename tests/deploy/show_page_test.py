"""dakd show as a person sees it, in a headless Chromium: drop, slide, point, a bad and a large file, a phone."""

import chromium
import numpy as np
import pytest
from served_pages import CLASSES, MOST_BYTES, film, pixels_of, png, serving

READY = "document.documentElement.dataset.ready"


@pytest.fixture
def tab():
    if not chromium.find():
        pytest.skip("no Chromium here: apt-get install chromium, as .ci/run does it")
    with chromium.browser() as found:
        yield found


def test_a_person_at_the_page(tab, tmp_path):
    files = {"street.png": png(), "bad.png": b"no picture", "large.png": b"x" * (MOST_BYTES + 1), "drive.mp4": film()}
    files |= {"<img src=x>.png": png(300, 20), "tiny.png": png(1, 1)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with serving(tmp_path) as served:
        tab.size(1200, 900)
        tab.go(url := f"http://127.0.0.1:{served.port}/")
        tab.until(READY)
        for part in (_dropped, _slid, _pointed_at, _listed, _refused, _cancelled, _with_keys, _a_film, _on_a_phone):
            part(tab, served, tmp_path)
    assert tab.requests and all(one.startswith((url, f"blob:{url}")) for one in tab.requests)
    refused = [problem for problem in tab.problems if "status of 422" in problem]
    assert tab.problems == refused and len(refused) == 1


def text(tab, name):
    return tab.js(f"document.getElementById({name!r}).innerText")


def hand_in(tab, path, *, drop=True):
    """A file, until its answer is there."""
    tab.drop(path) if drop else tab.choose("#file", path)
    tab.until(
        f"document.getElementById('title').textContent === {path.name!r} && document.getElementById('progress').hidden"
    )


def drawn(tab, panel):
    """Colours of a panel, uint8 [H, W, 4]."""
    canvas = f"document.querySelectorAll('canvas')[{panel}]"
    data = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data"
    width, height = tab.js(f"[{canvas}.width, {canvas}.height]")
    return np.array(tab.js(f"[...{data}]"), np.uint8).reshape(height, width, 4)


def names_of(served, pixels):
    """Names of the classes that each network says, [H, W]."""
    return [np.array(one.classes)[one.predict(pixels)] for one in served.networks]


def _dropped(tab, served, folder):
    assert tab.js("document.getElementById('shown').hidden")
    hand_in(tab, folder / "street.png")
    pixels = pixels_of()
    for number, one in enumerate(served.networks):
        np.testing.assert_array_equal(drawn(tab, number)[..., :3], one.palette(one.predict(pixels)))
    ours, theirs = names_of(served, pixels)
    np.testing.assert_array_equal(drawn(tab, 2)[..., 3] > 0, ours != theirs)
    assert f"{100 * np.mean(ours != theirs):.1f} % of the pixels" in text(tab, "panels")
    pictures = "[...document.querySelectorAll('#panels img')]"
    tab.until(f"{pictures}.every((one) => one.complete && one.naturalWidth === 70)")
    assert tab.js("[document.querySelectorAll('h1, h2').length, document.images.length]") == [2, 3]


def _slid(tab, served, folder):
    """With the arrow keys: what is left of the edge is the picture."""
    tab.js("document.getElementById('slide').focus()")
    for key, times, share in (
        ("ArrowRight", 10, "40%"),
        ("End", 1, "0%"),
        ("Home", 1, "100%"),
        ("ArrowRight", 50, "50%"),
    ):
        tab.press(key, times)
        assert tab.js("getComputedStyle(document.querySelector('canvas')).clipPath") == f"inset(0px 0px 0px {share})"
    assert (
        tab.js("document.getElementById('slide').getAttribute('aria-valuetext')") == "labels over 50 % of the picture"
    )


def _pointed_at(tab, served, folder):
    box = tab.js(
        "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('.stack').getBoundingClientRect())"
    )
    ours, theirs = names_of(served, pixels_of())
    for x, y in ((3, 4), (69, 49), (35, 20)):
        tab.point(box[0] + (x + 0.5) * box[2] / 70, box[1] + (y + 0.5) * box[3] / 50)
        assert text(tab, "here") == f"a: {ours[y, x]} · b: {theirs[y, x]}"
    tab.js("document.querySelector('.stack').focus()")
    tab.press("ArrowRight", 3, shift=True)
    tab.press("ArrowUp", 5, shift=True)
    assert text(tab, "here") == f"a: {ours[15, 38]} · b: {theirs[15, 38]}"
    assert tab.js("[...document.querySelectorAll('.point')].every((one) => !one.hidden)")


def _listed(tab, served, folder):
    """Classes by area; one that is chosen stands out, and no longer when it is chosen again."""
    ours, theirs = names_of(served, pixels_of())
    shares = {name: (np.mean(ours == name), np.mean(theirs == name)) for name in [*CLASSES, "only here"]}
    rows = tab.js(
        "[...document.querySelectorAll('#areas tbody tr')].map((row) => [...row.children].map((one) => one.innerText))"
    )
    there = [name for name in shares if any(shares[name])]
    assert {row[0] for row in rows} == set(there)
    assert [shares[row[0]] for row in rows] == sorted((shares[row[0]] for row in rows), reverse=True)
    for name, *cells in rows:
        for cell, share, number in zip(cells, shares[name], (0, 1), strict=True):
            told = "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
            assert cell.strip() == (told if name in served.networks[number].classes else "no such class")
    tab.js("document.querySelector('.class').focus()")
    for chosen in (True, False):
        tab.press(" ")
        faint = (ours != rows[0][0]) if chosen else np.zeros_like(ours, bool)
        np.testing.assert_array_equal(drawn(tab, 0)[..., 3] < 255, faint)
        assert tab.js("document.querySelector('.class').getAttribute('aria-pressed')") == str(chosen).lower()
    link = "document.querySelectorAll('#downloads a')[3]"
    assert tab.js(f"{link}.download") == "street-beside-labels.png"
    assert tab.js(f"fetch({link}.href).then((answer) => answer.blob()).then((file) => file.type)") == "image/png"


def _refused(tab, served, folder):
    """A line each, and what was shown stays."""
    tab.drop(folder / "bad.png")
    tab.until("document.getElementById('error').innerText.startsWith('bad.png: no picture (PNG')")
    tab.drop(folder / "large.png")
    tab.until(
        "document.getElementById('error').innerText === 'large.png: 1 MB are more than 1 MB; choose a smaller file'"
    )
    tab.js("dispatchEvent(new DragEvent('drop', {dataTransfer: new DataTransfer()}))")
    assert text(tab, "error") == "there is no file in this; drop a picture"
    assert text(tab, "title") == "street.png" and not tab.js("document.getElementById('shown').hidden")


def _cancelled(tab, served, folder):
    """How far a slow file has come is told, and it can be given up."""
    (folder / "slow.png").write_bytes(b"x" * (MOST_BYTES - 1))
    tab.slow_down(50_000)
    tab.drop(folder / "slow.png")
    tab.until("/^Sending slow.png: [1-9][0-9]? %$/.test(document.getElementById('doing').innerText)")
    assert tab.js("document.getElementById('bar').value") > 0
    tab.js("document.getElementById('cancel').focus()")
    tab.press("Enter")
    tab.slow_down(None)
    assert tab.js("document.getElementById('progress').hidden && document.activeElement.id") == "choose"
    assert tab.js("document.getElementById('error').hidden") and text(tab, "title") == "street.png"


def _with_keys(tab, served, folder):
    """Tab reaches everything in its order, and where it is can be seen; names are text."""
    hand_in(tab, folder / "<img src=x>.png", drop=False)
    assert tab.js("document.getElementById('error').hidden && document.images.length === 3")
    tab.js("document.getElementById('choose').focus()")
    reached, one = [], "document.activeElement"
    for _ in range(5):
        tab.press("Tab")
        reached.append(tab.js(f"{one}.id || {one}.className"))
        assert tab.js(f"getComputedStyle({one}).outlineStyle") == "solid"
    assert reached == ["slide", "stack", "stack", "stack", "class"]


def _a_film(tab, served, folder):
    hand_in(tab, folder / "drive.mp4")
    assert not tab.js("document.getElementById('frames').hidden") and text(tab, "time") == "0.00 s, 1 of 6"
    before = tab.js("document.querySelector('#panels img').src")
    tab.js("document.getElementById('frame').focus()")
    tab.press("ArrowRight", 5)
    tab.until("document.getElementById('progress').hidden")
    tab.until(f"document.querySelector('#panels img').src !== {before!r}")
    assert text(tab, "time") == "0.63 s, 6 of 6" and text(tab, "title") == "drive.mp4"
    tab.until("document.querySelector('#panels img').complete")
    bright = """(() => {
        const [picture, pen] = [document.querySelector('#panels img'), new OffscreenCanvas(1, 1).getContext('2d')];
        pen.drawImage(picture, 0, 0, 1, 1);
        return pen.getImageData(0, 0, 1, 1).data[0];
        })()"""
    assert tab.js(bright) > 180


def _on_a_phone(tab, served, folder):
    for name in ("<img src=x>.png", "tiny.png", "street.png"):
        hand_in(tab, folder / name)
        assert tab.js("document.getElementById('frames').hidden")
        for width in (360, 320):
            tab.size(width, 740, dark=width == 320)
            assert tab.js("document.documentElement.scrollWidth") == width
            edges = "[...document.querySelectorAll('body *')].map((one) => one.getBoundingClientRect().right)"
            assert tab.js(f"Math.max(...{edges})") <= width
    assert tab.js("getComputedStyle(document.documentElement).backgroundColor") == "rgb(22, 24, 28)"
