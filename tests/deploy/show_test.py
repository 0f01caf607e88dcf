"""dakd show: what the page is answered, who is refused, what bounds it."""

import asyncio
import concurrent.futures
import contextlib
import io
import json
import os
import re
import signal
import socket
import struct
import threading
import time
import types
import webbrowser
import zlib
from unittest.mock import Mock

import handmade_pictures as handmade
import numpy as np
import pytest
import tiny_runs
from PIL import Image
from rich.console import Console
from served_pages import MOST_BYTES, Served, film, pixels_of, png, serving
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import predict, show
from dakd_jax.commands.kit import command_line
from dakd_jax.deploy.show import answers, page_server
from dakd_jax.deploy.show.bounds import BYTES, Album, Bodies, Turns
from dakd_jax.training.runtime import compilation_cache
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
    assert (
        status == 200
        and told["pixel_aspect"] == 1
        and told["times"] == [number / 8 for number in range(6)]
        and told["size"] == [32, 24]
    )
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


def request_head(served, *headers):
    lines = ("POST /pictures HTTP/1.1", f"Host: localhost:{served.port}", f"Content-Type: {BYTES}", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


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
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        sent = [pool.submit(served.send, png(9, 9, seed)) for seed in range(3)]
        while turns._there < 3:
            time.sleep(0.001)
        status, told = served.send(png(9, 9))
        assert status == 503 and "2 others wait" in told["error"]
        assert served.ask("GET", "/networks")[0] == 200
        go.set()
        answered = [one.result() for one in sent]
    assert [status for status, _ in answered] == [200] * 3 and most == [1] * 3
    for seed, (_, told) in enumerate(answered):
        labels = served.networks[0].predict(pixels_of(9, 9, seed))
        assert told["areas"][0] == np.bincount(labels.ravel(), minlength=7).tolist()
    turns.close()


def test_what_goes_wrong_here_is_not_the_picture_s_fault(served, monkeypatch, caplog):
    monkeypatch.setattr(answers, "of_picture", lambda *_: 1 / 0)
    status, told = served.send(png(3, 3))
    assert status == 500 and "the terminal tells more" in told["error"] and "ZeroDivisionError" not in told["error"]
    monkeypatch.undo()
    assert served.send(png(3, 3))[0] == 200


def test_memory_is_bounded_over_all_files():
    async def tried(bodies, *contents, silent=False):
        chunks = [{"type": "http.request", "body": content, "more_body": True} for content in contents]
        chunks += [] if silent else [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            return chunks.pop(0) if chunks else await asyncio.Event().wait()

        scope = {"type": "http", "headers": [(b"content-type", BYTES.encode())]}
        async with bodies.held(Request(scope, receive)) as body:
            if len(contents) == 1:
                with pytest.raises(HTTPException, match="other files fill the memory"):
                    await tried(bodies, b"12", b"34567")
            return body, bodies._held

    bodies = Bodies(most=8, together=12, silence=0.01)
    assert asyncio.run(tried(bodies, b"12345678")) == (b"12345678", 8)
    assert asyncio.run(tried(bodies, b"1234", b"5678")) == (b"12345678", 8)
    with pytest.raises(HTTPException, match="larger than"):
        asyncio.run(tried(bodies, b"1234", b"56789"))
    with pytest.raises(HTTPException, match="stopped coming"):
        asyncio.run(tried(bodies, b"1234", b"5", silent=True))
    assert bodies._held == 0


def test_the_last_few_answers_are_kept():
    one = types.SimpleNamespace
    album = Album(3, 100)
    names = [album.keep(one(num_bytes=size)) for size in (10, 20, 30)]
    album.find(names[0], one)
    names.append(album.keep(one(num_bytes=40)))
    for name, there in zip(names, (True, False, True, True), strict=True):
        with contextlib.nullcontext() if there else pytest.raises(HTTPException, match="no longer kept"):
            assert album.find(name, one).num_bytes
    large = album.keep(one(num_bytes=500))
    assert list(album._kept) == [large] and len({*names, large}) == 5 and len(large) > 20
    with pytest.raises(HTTPException):
        album.find(large, answers.Answer)


# The command


@pytest.fixture
def command(served, monkeypatch):
    """`dakd show` in this process: (what ends it once it runs, of how to ask it) to its exit code, and its console."""
    console = Console(file=io.StringIO(), width=300)
    networks = dict(zip(("runs/x", "runs/x#teacher"), served.networks, strict=True))
    monkeypatch.setattr(predict, "load_network", lambda context, path: networks[path])
    monkeypatch.setattr(compilation_cache, "enable_for_user", enabled := Mock())

    def call(during, **flags):
        def interrupt():
            while " until Ctrl-C" not in console.file.getvalue():
                time.sleep(0.001)
            during(Served(served.page, int(console.file.getvalue().split(":")[2].split("/")[0])))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        context = tiny_runs.context(tiny_runs.config("nowhere"), "w", console, "show", **flags)
        code = show.run(types.SimpleNamespace(**vars(context) | {"words": ("runs/x",)}))
        thread.join()
        enabled.assert_called_once_with()
        return code, console.file.getvalue()

    return call


@pytest.mark.parametrize("opening", [True, False])
def test_ctrl_c_is_the_usual_end(command, opening, monkeypatch):
    opened, answered = [], []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    code, printed = command(
        lambda served: answered.append(served.ask("GET", "/networks")[::2]), beside="runs/x#teacher", open=opening
    )
    status, content = answered.pop()
    titles = [one["title"] for one in json.loads(content)["networks"]]
    assert (code, status, titles) == (0, 200, ["x", "x#teacher"])
    assert opened == [printed.split()[0]] * opening


def test_what_is_not_done_at_the_end_is_given_up(command, monkeypatch, caplog):
    """A picture that the network is at, one that waits, and one that is on its way."""
    go, answered, bounds = threading.Event(), [], {}
    monkeypatch.setattr(answers, "of_picture", lambda *_: go.wait())
    for kind in (Bodies, Turns):
        kept = lambda *limits, kind=kind: bounds.setdefault(kind, kind(*limits))  # noqa: E731
        monkeypatch.setattr(page_server, kind.__name__, kept)
    with concurrent.futures.ThreadPoolExecutor(3) as pool, contextlib.ExitStack() as open_still:

        def during(served):
            answered.extend(pool.submit(served.send, png(3, 3)) for _ in range(2))
            sock = open_still.enter_context(socket.create_connection(("127.0.0.1", served.port), 60))
            sock.sendall(request_head(served, "Content-Length: 5000") + b"x" * 1000)
            answered.append(pool.submit(sock.recv, 99))
            while bounds[Turns]._there < 2 or bounds[Bodies]._held < 1000 + 2 * len(png(3, 3)):
                time.sleep(0.001)

        assert command(during)[0] == 0
        one, other, on_its_way = (found.result() for found in answered)
        go.set()
    assert one == other == (503, {"error": "dakd show has ended"}) and on_its_way.startswith(b"HTTP/1.1 503 ")
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_mistakes_of_the_command(monkeypatch):
    with pytest.raises(UserError, match="wants a network, 0 were given"):
        command_line.parse(["--mode=show"])
    with pytest.raises(UserError, match="--port"):
        command_line.parse(["--mode=show", "x", "--port=-1"])
    assert command_line.parse(["--mode=show", "x", "--beside=y"]).flags == {"beside": "y", "port": 0, "open": False}
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(UserError, match="needs starlette and uvicorn: pip install -r requirements-deploy.txt"):
        command_line.parse(["--mode=show", "x"])


def test_networks_without_a_class_in_common():
    ours, others = (types.SimpleNamespace(classes=classes) for classes in (("a", "b", "c"), ("c", "x", "a")))
    assert answers.common_labels([ours, others])[:4].tolist() == [2, 255, 0, 255]
    with pytest.raises(UserError, match="no class in common"):
        page_server.Page([ours, types.SimpleNamespace(classes=("x", "y"))], ["a", "b"])
