"""What bounds the memory and the time that requests may take: of bodies, of work, of what is kept."""

import asyncio
import contextlib
import io
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

Made = TypeVar("Made")

BYTES = "application/octet-stream"  # no form of another page can send it


class Bodies:
    """Bodies of requests, each whole in memory and nowhere else.

    Args:
      most: bytes of one.
      together: bytes of all that are held at a time.
      silence: seconds without a byte after which one is given up.
    """

    def __init__(self, most: int, together: int, silence: float):
        self._most, self._together, self._silence, self._held = most, together, silence, 0

    @contextlib.asynccontextmanager
    async def held(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request; it counts as held inside.

        Raises:
          HTTPException: it is no file, empty, too large, comes too slowly or is broken off, or others fill the room.
        """
        if request.headers.get("content-type") != BYTES:
            raise HTTPException(415, f"a file is sent as it is, as {BYTES}")
        if int(request.headers.get("content-length", 0)) > self._most:
            raise self._too_large()
        body = io.BytesIO()
        try:
            async for chunk in self._chunks(request):
                if body.tell() + len(chunk) > self._most:
                    raise self._too_large()
                if self._held + len(chunk) > self._together:
                    raise HTTPException(503, "other files fill the memory; try again when they are done")
                self._held += body.write(chunk)
            if not body.tell():
                raise HTTPException(400, "the file is empty; choose another one")
            yield body.getvalue()
        finally:
            self._held -= body.tell()

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        chunks = request.stream()
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                yield chunk
        except TimeoutError:
            raise HTTPException(408, "the file stopped coming; send it again") from None
        except ClientDisconnect:
            raise HTTPException(400, "the file was broken off; send it again") from None

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the file is larger than {self._most / 2**20:.4g} MB; choose a smaller one")


class Turns:
    """Work in a thread, one piece at a time, the others in a row of bounded length."""

    def __init__(self, most_waiting: int):
        self._most, self._there = most_waiting + 1, 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="show")

    async def take(self, work: Callable[..., Made], *arguments) -> Made:
        """What work(*arguments) returns or raises. Raises HTTPException where too many wait."""
        if self._there == self._most:
            raise HTTPException(503, f"{self._most - 1} others wait for the network; try again in a moment")
        self._there += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(work, *arguments))
        finally:
            self._there -= 1

    def close(self) -> None:
        """What has not begun is left undone."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Sized(Protocol):
    """What knows its bytes."""

    num_bytes: int


class Album:
    """The last few things that were handed in, under names that nobody can guess.

    Args:
      most: how many.
      most_bytes: of all of them; the newest is kept in any case.
    """

    def __init__(self, most: int, most_bytes: int):
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, Sized] = OrderedDict()

    def keep(self, one: Sized) -> str:
        """Its name."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = one
        while len(self._kept) > self._most or (len(self._kept) > 1 and self._num_bytes() > self._most_bytes):
            self._kept.popitem(last=False)
        return name

    def find(self, name: str, kind: type[Made]) -> Made:
        """What has that name; it is kept longest now. Raises HTTPException where there is none of this kind."""
        found = self._kept.get(name)
        if not isinstance(found, kind):
            raise HTTPException(404, "this is no longer kept; hand the file in again")
        self._kept.move_to_end(name)
        return found

    def _num_bytes(self) -> int:
        return sum(one.num_bytes for one in self._kept.values())
