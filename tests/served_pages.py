"""A page of `dakd show` that runs in a thread of the tests, and files to hand in."""

import contextlib
import http.client
import io
import json
import threading
from fractions import Fraction

import numpy as np
import pytest
import tiny_runs
from PIL import Image

import dakd_jax
from dakd_jax.deploy.show import page_server
from dakd_jax.deploy.show.bounds import BYTES
from dakd_jax.models.segmenter import Segmenter, init_segmenter
from dakd_jax.stages import weights

MOST_BYTES, MOST_PIXELS = 200_000, 100_000
CLASSES = [f"class <b>{number}</b>" for number in range(7)]


def network(folder, seed, classes):
    """One that predicts several classes; training of a few steps would predict one."""
    model = Segmenter(arch="tiny", num_classes=len(classes))
    variables = init_segmenter(model, seed, "student")
    heads = {name: {"kernel": 300 * variables["params"][name]["kernel"]} for name in ("seg1", "seg2")}
    params = {name: part | heads.get(name, {}) for name, part in variables["params"].items()}
    path = folder / f"{seed}.pth"
    weights.save(path, variables | {"params": params}, model)
    return dakd_jax.load(path, arch="tiny", size=tiny_runs.SIZE, classes=classes)


class Served:
    """A page that runs, and how to ask it."""

    def __init__(self, page, port):
        self.page, self.port = page, port
        self.networks = page._networks if page else ()

    def ask(self, method, path, body=None, *, host=None, **headers):
        """(status, headers, content) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Host": host or f"127.0.0.1:{self.port}", **named})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def send(self, content, name="street.png", **headers):
        """(status, what is told) of a file that is handed in."""
        headers = {"Content_Type": BYTES} | headers
        status, _, told = self.ask("POST", f"/pictures?name={name}", content, **headers)
        return status, json.loads(told)


@contextlib.contextmanager
def serving(folder):
    """The page of two networks, the second of which has its classes in another order, with low limits."""
    with tiny_runs.quick_compilation(), pytest.MonkeyPatch.context() as patch:
        for name, value in {"MOST_BYTES": MOST_BYTES, "MOST_PIXELS": MOST_PIXELS}.items():
            patch.setattr(page_server, name, value)
        networks = [network(folder, 0, CLASSES), network(folder, 1, [*CLASSES[::-1], "only here"])]
        page, sock = page_server.Page(networks, ["runs/a", "runs/b"]), page_server.listen(0)
        server = page_server.server(page, sock)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield Served(page, sock.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
            page.close()


def pixels_of(width=70, height=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(*arguments, **how):
    content = io.BytesIO()
    Image.fromarray(pixels_of(*arguments)).save(content, "png", **how)
    return content.getvalue()


def film(size=(32, 24), frames=6):
    """An MP4 whose frames get brighter."""
    import av

    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            grey = np.full((size[1], size[0], 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode())
    return content.getvalue()


def request_head(served, *headers):
    lines = ("POST /pictures HTTP/1.1", f"Host: localhost:{served.port}", f"Content-Type: {BYTES}", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
