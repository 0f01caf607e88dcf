"""The server of the page: what is asked for at which address, and its beginning and end."""

import asyncio
import pathlib
import socket
import threading
import webbrowser
from collections.abc import Sequence

import uvicorn
from rich.console import Console
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.network import ReadyNetwork
from dakd_jax.deploy.predicting.outcome import say
from dakd_jax.deploy.show import answers
from dakd_jax.deploy.show.answers import Answer
from dakd_jax.deploy.show.bounds import BYTES, Album, Bodies, Turns
from dakd_jax.deploy.show.film_frames import KeptFilm
from dakd_jax.deploy.show.guard import Guard
from data_pipelines.pictures import handed_in

HOST = "127.0.0.1"
MOST_BYTES = 256 * 2**20  # of one file
MOST_PIXELS = 50_000_000  # of one picture
MOST_TOGETHER = 2 * MOST_BYTES  # of all files that are on their way or wait
MOST_WAITING = 8  # for the network
MOST_KEPT, MOST_BYTES_KEPT = 8, 2**29
SILENCE = 30.0  # seconds without a byte of a file
_CONNECTIONS = 64
_PATIENCE = 2  # seconds for answers that are on their way at the end

_FOLDER = pathlib.Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/panels.js": ("panels.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Page:
    """The page of some networks: the one that is shown, and perhaps another beside it.

    Args:
      networks: one or two.
      paths: of them, as they were given.
    """

    def __init__(self, networks: Sequence[ReadyNetwork], paths: Sequence[str]):
        self._networks, self._paths = networks, paths
        if len(networks) > 1:
            answers.common_labels(networks)  # refuses those that have nothing in common
        self._bodies, self._turns = Bodies(MOST_BYTES, MOST_TOGETHER, SILENCE), Turns(MOST_WAITING)
        self._album = Album(MOST_KEPT, MOST_BYTES_KEPT)

    def application(self, port: int) -> Guard:
        """Of ASGI."""
        fixed = [Route(path, _fixed(*file)) for path, file in _FILES.items()]
        routes = [
            Route("/networks", self._tell_networks),
            Route("/pictures", self._take_picture, methods=["POST"]),
            Route("/films/{name}/{number:int}", self._take_frame, methods=["POST"]),
            Route("/pictures/{name}/view.jpg", self._view),
            Route("/pictures/{name}/{number:int}/view", self._view_labels),
            Route("/pictures/{name}/{number:int}/{kind}.png", self._file),
        ]
        errors = dict.fromkeys((handed_in.DataError, UserError), _data_error)
        errors |= {HTTPException: _http_error, Exception: _our_error}
        return Guard(Starlette(routes=fixed + routes, exception_handlers=errors), port)

    def close(self) -> None:
        """Begins nothing more."""
        self._turns.close()

    async def _tell_networks(self, request: Request) -> Response:
        names = [pathlib.PurePath(path).name for path in self._paths]
        titles = names if len(set(names)) == len(names) else self._paths
        told = [
            {
                "title": title,
                "about": _about(one) + f", of {path}" * (path != title),
                "classes": one.classes,
                "colours": one.colours.tolist(),
            }
            for one, title, path in zip(self._networks, titles, self._paths, strict=True)
        ]
        return JSONResponse({"networks": told, "most_bytes": MOST_BYTES})

    async def _take_picture(self, request: Request) -> Response:
        name = answers.shown_name(request.query_params.get("name", ""))
        async with self._bodies.held(request) as content:
            found, told, film = await self._turns.take(self._made, content, name)
        told |= {"title": name, "name": self._album.keep(found)}
        if film:
            aspect, times = float(film.film.pixel_aspect), [*map(float, film.times)]
            told |= {"film": self._album.keep(film), "pixel_aspect": aspect, "times": times}
        return JSONResponse(told)

    def _made(self, content: bytes, name: str) -> tuple[Answer, dict, KeptFilm | None]:
        """In the thread that works: an answer, what the page is told of it, and the film whose first frame it is of."""
        if handed_in.is_picture(content):
            found, film = answers.of_picture(self._networks, content, name, MOST_PIXELS), None
        else:
            film = self._film(content, name)
            found = answers.of_pixels(self._networks, film.picture(0))
        return found, found.told(self._networks), film

    def _film(self, content: bytes, name: str) -> KeptFilm:
        try:
            return KeptFilm.of(content, name, MOST_PIXELS)
        except handed_in.AccessError:
            raise
        except handed_in.DataError as error:
            why = str(error).removeprefix(f"{name}: ")
            raise handed_in.DataError(f"{name}: no picture ({', '.join(handed_in.FORMATS)}), and {why}") from None

    async def _take_frame(self, request: Request) -> Response:
        film, number = self._album.find(request.path_params["name"], KeptFilm), request.path_params["number"]
        if number >= len(film.times):
            raise HTTPException(404, f"the film has {len(film.times)} frames")

        def made() -> tuple[Answer, dict]:
            found = answers.of_pixels(self._networks, film.picture(number))
            return found, found.told(self._networks)

        found, told = await self._turns.take(made)
        return JSONResponse({"name": self._album.keep(found), **told})

    async def _view(self, request: Request) -> Response:
        found = self._album.find(request.path_params["name"], Answer)
        return Response(await asyncio.to_thread(found.view), media_type="image/jpeg")

    async def _view_labels(self, request: Request) -> Response:
        found, number = self._asked(request)
        return Response(await asyncio.to_thread(found.view_labels, number), media_type=BYTES)

    async def _file(self, request: Request) -> Response:
        found, number = self._asked(request)
        kind = request.path_params["kind"]
        if kind not in answers.KINDS:
            raise HTTPException(404, f"there are {', '.join(answers.KINDS)} to be had")
        content = await self._turns.take(found.file, self._networks[number], number, kind)
        return Response(content, media_type="image/png", headers={"Content-Disposition": "attachment"})

    def _asked(self, request: Request) -> tuple[Answer, int]:
        """(an answer, the number of one of the networks)."""
        number = request.path_params["number"]
        if number >= len(self._networks):
            raise HTTPException(404, f"there are {len(self._networks)} networks")
        return self._album.find(request.path_params["name"], Answer), number


def listen(port: int) -> socket.socket:
    """A socket on this machine alone, 0 for any port. Raises UserError where it is not to be had."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()
    except (OSError, OverflowError) as error:
        found.close()
        raise UserError(f"--port={port}: {error}; name another one, or none, and one that is free is taken") from error
    return found


def server(page: Page, sock: socket.socket) -> uvicorn.Server:
    """What answers at a socket once it runs."""
    config = uvicorn.Config(
        page.application(sock.getsockname()[1]), http="h11", loop="asyncio", ws="none", lifespan="off",
        log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=_PATIENCE,
    )  # fmt: skip
    return _Server(config)


class _Server(uvicorn.Server):
    """Does not wait at its end for files that are on their way and for the network."""

    async def shutdown(self, sockets=None) -> None:
        self.config.app.end()
        await super().shutdown(sockets)


def serve(page: Page, sock: socket.socket, console: Console, *, opening: bool) -> None:
    """Answers until Ctrl-C, which it raises as KeyboardInterrupt; `opening` shows the page in a browser."""
    url = f"http://{HOST}:{sock.getsockname()[1]}/"
    say(console, f"{url} until Ctrl-C")
    if opening:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # a browser in the terminal stays
    try:
        server(page, sock).run(sockets=[sock])
    finally:
        page.close()
        sock.close()


def _about(network: ReadyNetwork) -> str:
    (width, height), model = network.size, network.model
    return f"{model.arch} x{model.width:g}, {len(network.classes)} classes, {width}x{height}"


def _fixed(file: str, kind: str):
    """What answers with a file of this package."""
    content = (_FOLDER / file).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def _error(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail)


async def _data_error(request: Request, error: handed_in.DataError | UserError) -> Response:
    return _error(503 if isinstance(error, handed_in.AccessError) else 422, str(error))


async def _our_error(request: Request, error: Exception) -> Response:
    return _error(500, "this went wrong here, and not with the file; the terminal tells more")
