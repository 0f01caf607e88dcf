"""dakd show: the command and its end, and what bounds the memory that requests may take."""

import asyncio
import concurrent.futures
import contextlib
import io
import json
import os
import signal
import socket
import threading
import time
import types
import webbrowser
from unittest.mock import Mock

import numpy as np
import pytest
import tiny_runs
from rich.console import Console
from served_pages import Served, png, request_head
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import show
from dakd_jax.commands.kit import command_line, networks
from dakd_jax.deploy.show import answers, page_server
from dakd_jax.deploy.show.bounds import BYTES, Album, Bodies, Turns
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.training.runtime import compilation_cache


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
def command(monkeypatch):
    """`dakd show` in this process: (what ends it once it runs, of how to ask it) to its exit code, and its console."""
    console = Console(file=io.StringIO(), width=300)
    look = {"classes": ("a", "b"), "colours": np.zeros((2, 3), np.uint8), "size": tiny_runs.SIZE}
    network = types.SimpleNamespace(model=Segmenter(arch="tiny", num_classes=2), **look)
    monkeypatch.setattr(networks, "load", lambda context, path: network)
    monkeypatch.setattr(compilation_cache, "enable_for_user", enabled := Mock())

    def call(during, **flags):
        def interrupt():
            while " until Ctrl-C" not in console.file.getvalue():
                time.sleep(0.001)
            during(Served(None, int(console.file.getvalue().split(":")[2].split("/")[0])))
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


def test_what_is_not_done_at_the_end_is_given_up(command, monkeypatch, capfd):
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
    assert capfd.readouterr().err == ""


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
