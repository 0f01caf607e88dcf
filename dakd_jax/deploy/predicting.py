"""Many pictures to files of answers: while one is computed, the next are read and those before it written."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from rich.console import Console

from dakd_jax.basics.progress import StageProgress, speed
from dakd_jax.deploy import answer_files, full_size
from dakd_jax.deploy.answer_files import AnswerFiles
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.inputs import Input
from dakd_jax.deploy.loaded import LoadedNetwork
from data_pipelines.pictures import handed_in

AHEAD = 2  # pictures that are read, and such that are written, at a time
GAP = 4  # pixels between two pictures side by side

Item, Made = TypeVar("Item"), TypeVar("Made")


class Read(NamedTuple):
    """A picture that was read.

    Attributes:
      one: which.
      mark: of its state before it was read.
      picture: upright RGB, None where it could not be read.
      inputs: uint8 [h, w, 3] for each network.
      problem: why it could not be read, in a line.
    """

    one: Input
    mark: str = ""
    picture: Image.Image | None = None
    inputs: tuple[np.ndarray, ...] = ()
    problem: str = ""


class Outcome(NamedTuple):
    """How many pictures were predicted on, had their answers already, and could not be read."""

    predicted: int
    there: int
    left_out: int


def predict_all(
    networks: Sequence[LoadedNetwork], pictures: Sequence[Input], files: AnswerFiles, kinds, console: Console
) -> Outcome:
    """Writes the answers of all pictures that have none yet; says which cannot be read.

    Args:
      networks: the one whose answers are wanted, and perhaps another one, whose overlays stand beside its own.

    Raises:
      UserError: an answer cannot be written.
      AccessError: the process may not open more files, or has no memory.
    """
    todo = [one for one in pictures if not files.are_there(one)]
    done, left_out, began = 0, 0, time.monotonic()
    with StageProgress(console, "Predicting", len(pictures), len(pictures) - len(todo), "picture") as progress:
        for read in _written(networks, todo, files, kinds):
            if read.problem:
                left_out += 1
                console.print(f"left out: {_printable(read.problem)}", highlight=False, markup=False, soft_wrap=True)
            done += 1
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(len(pictures) - len(todo) + done, speed(rate).replace("image", "picture"))
    return Outcome(done - left_out, len(pictures) - len(todo), left_out)


def _written(networks, todo: Sequence[Input], files: AnswerFiles, kinds) -> Iterator[Read]:
    """Each picture once its answers are written, or, in its turn, as one that cannot be read."""

    def finish(computed: tuple[Read, list[Answers]]) -> Read:
        read, found = computed
        if not read.problem:
            files.write(read.one, read.mark, _arrays(networks, read, found, kinds))
        return read

    what = [full_size.LABELS] + [full_size.CONFIDENCE] * (answer_files.CONFIDENCE in kinds)
    return _map_ahead("write", finish, _computed(networks, todo, what))


def _computed(networks, todo: Sequence[Input], what: Sequence[str]) -> Iterator[tuple[Read, list[Answers]]]:
    """Each picture and what the networks say of it; nothing of one that could not be read."""
    for read in _map_ahead("read", lambda one: _read(networks, one), todo):
        yield read, [] if read.problem else _said(networks, read, what)


def _said(networks, read: Read, what: Sequence[str]) -> list[Answers]:
    """`what` the first network says of a picture, and the labels of another one."""
    size = read.picture.size[::-1]
    return [
        network.answers([pixels], [size], what if network is networks[0] else what[:1])[0]
        for network, pixels in zip(networks, read.inputs, strict=True)
    ]


def _read(networks: Sequence[LoadedNetwork], one: Input) -> Read:
    try:
        mark = one.mark()
        picture = handed_in.upright(one.path, networks[0].found.bit_depth)
        return Read(one, mark, picture, tuple(network.network_input(picture) for network in networks))
    except handed_in.AccessError:
        raise
    except (handed_in.DataError, OSError) as error:
        return Read(one, problem=str(error))


def _arrays(networks, read: Read, found: list[Answers], kinds) -> dict[str, np.ndarray]:
    """What is written of a picture, by kind."""
    labels, pixels = found[0][full_size.LABELS], np.asarray(read.picture)
    over = [network.overlay(pixels, one[full_size.LABELS]) for network, one in zip(networks, found, strict=True)]
    make: dict[str, Callable[[], np.ndarray]] = {
        answer_files.LABELS: lambda: labels,
        answer_files.COLOURS: lambda: networks[0].palette(labels),
        answer_files.OVERLAYS: lambda: over[0],
        answer_files.CONFIDENCE: lambda: found[0][full_size.CONFIDENCE],
        answer_files.BESIDE: lambda: side_by_side(*over),
    }
    return {kind: make[kind]() for kind in kinds}


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two uint8 [H, W, 3] as one, with a white line between them."""
    return np.concatenate([left, np.full((len(left), GAP, 3), 255, np.uint8), right], axis=1)


def _map_ahead(name: str, function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """function(item) in the order of the items, in threads called `name`; AHEAD are under way while one is used."""
    pool, waiting = ThreadPoolExecutor(AHEAD, thread_name_prefix=name), deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _printable(text: str) -> str:
    """A line with names that no terminal can show made plain."""
    return text.encode("utf-8", "backslashreplace").decode()
