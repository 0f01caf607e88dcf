"""dakd show: what the page is answered, who is refused, what bounds it."""

import concurrent.futures
import io
import json
import re
import socket
import struct
import threading
import time
import zlib

import handmade_pictures as handmade
import numpy as np
import pytest
from PIL import Image
from served_pages import MOST_BYTES, film, pixels_of, png, request_head, serving

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.show import answers, page_server
from dakd_jax.deploy.show.bounds import Turns
from data_pipelines.pictures import handed_in


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("networks")) as found:
        yield found


def claimed_png(width, height):
    """A PNG whose header says a size, without a single pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (handmade.chunk(b"IHDR", header), handmade.chunk(b"IDAT", zlib.compress(b"")), handmade.chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# Answers


def test_what_is_answered_is_what_the_network_says(served):
    pixels = pixels_of()
    status, told = served.send(png(), name="a%2Fb.png")
    assert (status, told["title"], told["size"], told["view"]) == (200, "b.png", [70, 50], [70, 50])
    predicted = [one.predict(pixels) for one in served.networks]
    for number, (one, labels) in enumerate(zip(served.networks, predicted, strict=True)):
        assert len(np.unique(labels)) > 2
        assert told["areas"][number] == np.bincount(labels.ravel(), minlength=len(one.classes)).tolist()
        shown = served.ask("GET", f"/pictures/{told['name']}/{number}/view")[2]
        np.testing.assert_array_equal(np.frombuffer(shown, np.uint8).reshape(50, 70), labels)
        wanted = {"labels": labels, "colours": one.palette(labels), "overlay": one.overlay(pixels, labels)}
        for kind, array in wanted.items():
            status, headers, content = served.ask("GET", f"/pictures/{told['name']}/{number}/{kind}.png")
            assert status == 200 and headers["Content-Disposition"] == "attachment"
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), array)
    names = [np.array(one.classes)[labels] for one, labels in zip(served.networks, predicted, strict=True)]
    assert told["differing"] == np.mean(names[0] != names[1]) and 0 < told["differing"] < 1
    picture = Image.open(io.BytesIO(served.ask("GET", f"/pictures/{told['name']}/view.jpg")[2]))
    assert picture.size == (70, 50) and np.abs(np.asarray(picture).astype(int) - pixels).mean() < 8


def test_pictures_of_any_kind_lie_upright(served):
    pixels, exif = pixels_of(20, 10), Image.Exif()
    exif[0x0112] = 6
    for kind in ("png", "jpeg", "webp", "tiff", "bmp"):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, kind, **({} if kind == "bmp" else {"exif": exif}))
        status, told = served.send(content.getvalue())
        assert status == 200 and told["size"] == ([20, 10] if kind == "bmp" else [10, 20]), kind
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] > 99).save(content, "png")
    assert served.send(content.getvalue())[0] == 200


def test_a_large_picture_is_made_smaller_for_the_page_alone(served, monkeypatch):
    monkeypatch.setattr(answers, "VIEW", 32)
    status, told = served.send(png(70, 5))
    assert told["size"] == [70, 5] and told["view"] == [32, 2]
    labels = served.networks[0].predict(pixels_of(70, 5))
    shown = np.frombuffer(served.ask("GET", f"/pictures/{told['name']}/0/view")[2], np.uint8).reshape(2, 32)
    np.testing.assert_array_equal(shown, labels[[1, 3]][:, [(2 * i + 1) * 70 // 64 for i in range(32)]])
    assert Image.open(io.BytesIO(served.ask("GET", f"/pictures/{told['name']}/view.jpg")[2])).size == (32, 2)


def test_wide_pictures_are_read_whole_or_refused(served, monkeypatch):
    content = handmade.png(np.full((4, 5, 3), 4095, np.uint16))
    status, told = served.send(content)
    assert status == 422 and "more than 8 bits per channel" in told["error"]
    white = handed_in.upright_of_bytes(content, "x", bit_depth=12, most_pixels=99)
    assert np.asarray(white).min() == 255


def test_frames_of_a_film(served):
    status, told = served.send(film(), name="drive.mp4")
    assert (status, told["size"], told["pixel_aspect"]) == (200, [32, 24], 1)
    assert told["times"] == [number / 8 for number in range(6)]
    for number in (5, 0, 3):
        status, _, content = served.ask("POST", f"/films/{told['film']}/{number}")
        frame = json.loads(content)
        picture = Image.open(io.BytesIO(served.ask("GET", f"/pictures/{frame['name']}/view.jpg")[2]))
        assert status == 200 and abs(np.asarray(picture).mean() - 40 * number) < 12
        labels = served.ask("GET", f"/pictures/{frame['name']}/0/view")[2]
        assert np.bincount(np.frombuffer(labels, np.uint8), minlength=7).tolist() == frame["areas"][0]
    for path in (f"/films/{told['film']}/6", f"/films/{told['name']}/0", "/films/x/0"):
        assert served.ask("POST", path)[0] == 404
    assert served.ask("GET", f"/pictures/{told['film']}/0/view")[0] == 404
    status, told = served.send(film(size=(400, 304), frames=1))
    assert status == 422 and "frames of 400x304 pixels" in told["error"]
    assert served.send(film()[:300], name="cut.mp4")[0] == 422


# What is refused


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"no picture at all",
            "notes.txt: no picture \\(PNG, .*\\), and cannot be read as a film \\(it is none of MP4",
        ),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "no picture \\(PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture \\(PNG"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "no picture \\(PNG"),
        (png()[:3000], "cannot be read as a picture"),
        (claimed_png(50_000, 50_000), "2500000000 pixels"),
        (claimed_png(400, 300), "400x300 pixels are more than 0.1 million"),
        (claimed_png(0, 3), "no picture \\(PNG"),
    ],
    ids=["text", "svg", "eps", "playlist", "cut", "bomb", "pixels", "no size"],
)
def test_what_is_no_picture_is_one_line(served, content, said):
    status, told = served.send(content, name="notes.txt")
    assert status == 422 and "\n" not in told["error"]
    assert told["error"].startswith("notes.txt: ") and " at 0x" not in told["error"]
    assert re.search(said, told["error"]), told


def test_no_pixel_of_a_bomb_is_decoded(served, monkeypatch):
    monkeypatch.setattr(handed_in.pixel_formats, "rgb", lambda *_, **__: pytest.fail("decoded"))
    for size in ((400, 300), (1, 100_001), (50_000, 50_000)):
        assert served.send(claimed_png(*size))[0] == 422


def test_bytes_are_bounded(served):
    most = b"x" * MOST_BYTES
    assert served.send(most)[0] == 422
    status, told = served.send(most + b"x")
    assert status == 413 and "larger than 0.1907 MB" in told["error"]
    with socket.create_connection(("127.0.0.1", served.port), 60) as sock:  # told at once, not when all of it is there
        sock.sendall(request_head(served, f"Content-Length: {10**12}"))
        assert sock.recv(99).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", served.port), 60) as sock:  # nobody says how much it is
        sock.sendall(request_head(served, "Transfer-Encoding: chunked"))
        sock.sendall(b"30D41\r\n" + most + b"x\r\n")  # and so on
        assert sock.recv(99).startswith(b"HTTP/1.1 413 ")
    chunks = [png()[:1000], png()[1000:]]
    assert served.send(iter(chunks))[0] == 200
    status, told = served.send(b"")
    assert status == 400 and "empty" in told["error"]
    assert served.page._bodies._held == 0


def test_a_file_that_is_broken_off_is_forgotten(served):
    with socket.create_connection(("127.0.0.1", served.port), 60) as sock:
        sock.sendall(request_head(served, "Content-Length: 5000") + b"x" * 1000)
        while served.page._bodies._held != 1000:
            time.sleep(0.001)
    while served.page._bodies._held:
        time.sleep(0.001)
    assert served.send(png())[0] == 200


NAMES = (
    "../../../etc/passwd",
    "..%5C..%5Cwin.ini",
    "/etc/passwd",
    "%00",
    "a%0D%0AX: y",
    "C:%5Cx",
    "%FF",
    "",
    "x" * 9000,
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_told_and_never_paths(served, name, monkeypatch):
    served.send(png(3, 3))  # what jax compiles for this size goes to a file
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file is opened"))
    status, told = served.send(png(3, 3), name=name.replace(" ", "%20"))
    assert status == 200 and not set("/\\\0\r\n") & set(told["title"]) and 0 < len(told["title"]) <= 100
    status, told = served.send(b"nothing", name=name.replace(" ", "%20"))
    assert status == 422 and "\n" not in told["error"]


def test_addresses_lead_nowhere_else(served):
    _, told = served.send(png(3, 3))
    for path in (
        "/../setup.py", "/%2e%2e/%2e%2e/setup.py", "/page_server.py", "/..%2fpage_server.py", "//etc/passwd",
        "/pictures/..%2F..%2Fx/view.jpg", f"/pictures/{told['name']}/2/view", f"/pictures/{told['name']}/-1/view",
        f"/pictures/{told['name']}/0/..%2Flabels.png", f"/pictures/{told['name']}/0/record.png",
        f"/pictures/{told['name'][:-1]}/view.jpg",
    ):  # fmt: skip
        status, headers, _ = served.ask("GET", path)
        assert status == 404 and headers["X-Content-Type-Options"] == "nosniff", path
    assert served.ask("PUT", "/pictures", b"x")[0] == served.ask("GET", "/pictures")[0] == 405


# Who is refused


def test_other_origins_are_refused(served):
    own = f"http://127.0.0.1:{served.port}"
    for headers in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://localhost:{served.port}"},
        {"Origin": f"{own}1"}, {"Origin": f"https://127.0.0.1:{served.port}"}, {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
        {"Origin": own, "Sec_Fetch_Site": "cross-site"},
    ):  # fmt: skip
        status, told = served.send(png(3, 3), **headers)
        assert (status, told) == (403, {"error": "requests from pages of other origins are refused"}), headers
        assert served.ask("GET", "/networks", **headers)[0] == 403
        assert served.ask("OPTIONS", "/pictures", **headers)[0] == 403
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
        assert served.send(png(3, 3), Content_Type=kind)[0] == 415
    assert served.send(png(3, 3), Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    named = f"localhost:{served.port}"
    assert served.send(png(3, 3), host=named, Origin=f"http://{named}")[0] == 200
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert served.ask("GET", "/", **link, Sec_Fetch_Dest="document")[0] == 200
    assert served.ask("GET", "/", **link, Sec_Fetch_Dest="iframe")[0] == 403
    assert served.ask("GET", "/networks", **link, Sec_Fetch_Dest="document")[0] == 403


def test_other_names_of_the_machine_are_refused(served):
    port = served.port
    foreign = (f"evil.example:{port}", f"127.0.0.1:{port}1", f"127.0.0.1.evil.example:{port}", f"[::1]:{port}")
    for host in ("evil.example", "127.0.0.1", *foreign, f"0.0.0.0:{port}", socket.gethostname()):
        for method, path in (("GET", "/"), ("POST", "/pictures")):
            assert served.ask(method, path, host=host)[0] == 403, host
    assert served.ask("GET", "/", host=f"LocalHost:{port}")[0] == 200
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 403 " in sock.recv(99)


def test_what_every_answer_says(served):
    for path in ("/", "/page.js", "/nowhere", "/networks"):
        headers = served.ask("GET", path)[1]
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert served.ask("GET", "/", host="evil.example")[1]["X-Frame-Options"] == "DENY"


def test_it_is_there_for_this_machine_alone():
    with page_server.listen(0) as sock:
        host, port = sock.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(UserError, match=f"--port={port}: .*in use.*; name another one"):
            page_server.listen(port)
    with pytest.raises(UserError, match="--port=99999: "):
        page_server.listen(99999)


# One at a time


def test_one_picture_at_a_time_and_a_row_that_ends(served, monkeypatch):
    monkeypatch.setattr(served.page, "_turns", turns := Turns(2))
    go, under_way, most, made = threading.Event(), [], [], answers.of_picture

    def slowly(*arguments):
        under_way.append(1)
        most.append(len(under_way))
        go.wait()
        under_way.pop()
        return made(*arguments)

    monkeypatch.setattr(answers, "of_picture", slowly)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(served.send, png(9, 9, seed)) for seed in range(3)]
        while turns._there < 3:
            time.sleep(0.001)
        one_more = pool.submit(served.send, png(9, 9))
        while turns._there < 4 and not one_more.done():
            time.sleep(0.001)
        assert served.ask("GET", "/networks")[0] == 200
        go.set()
        assert one_more.result() == (503, {"error": "2 others wait for the network; try again in a moment"})
        answered = [one.result() for one in sent]
    assert [status for status, _ in answered] == [200] * 3 and most == [1] * 3
    for seed, (_, told) in enumerate(answered):
        labels = served.networks[0].predict(pixels_of(9, 9, seed))
        assert told["areas"][0] == np.bincount(labels.ravel(), minlength=7).tolist()
    turns.close()


def test_what_goes_wrong_here_is_not_the_picture_s_fault(served, monkeypatch):
    monkeypatch.setattr(answers, "of_picture", lambda *_: 1 / 0)
    status, told = served.send(png(3, 3))
    assert status == 500 and "the terminal tells more" in told["error"] and "ZeroDivisionError" not in told["error"]
    monkeypatch.undo()
    assert served.send(png(3, 3))[0] == 200
