"""A film to films of answers: while a frame is computed, the next are read and those before it written."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console

from dakd_jax.basics.progress import StageProgress, speed
from dakd_jax.deploy.full_size import Answers
from dakd_jax.deploy.network import ReadyNetwork
from dakd_jax.deploy.predicting import answers
from dakd_jax.deploy.predicting.ahead import drawn_ahead, map_ahead
from dakd_jax.deploy.predicting.answer_files import AnswerFiles
from dakd_jax.deploy.predicting.film_writing import FilmAnswers, Timing, TooLargeForFilm
from dakd_jax.deploy.predicting.inputs import Input
from dakd_jax.deploy.predicting.outcome import Outcome, say
from data_pipelines.pictures import films
from data_pipelines.pictures.films import AccessError, DataError, Film, Frame


class ReadFrame(NamedTuple):
    """A frame that was read, and for each network uint8 [h, w, 3]."""

    frame: Frame
    inputs: tuple[np.ndarray, ...]


def predict_film(networks: Sequence[ReadyNetwork], one: Input, files: AnswerFiles, kinds, console: Console) -> Outcome:
    """Writes the answers of a film that has none yet; see everything.predict_all."""
    if files.are_there(one):
        return Outcome(there=1) + _told(console, one, files.lost(one))
    try:
        mark = one.mark()
        film = films.open_film(one.path)
        with files.film(one, mark, Timing(film.tick, film.rate, film.pixel_aspect)) as made:
            made.lost = _predict(networks, film, made, kinds, console, one.name)
    except AccessError:
        raise
    except (DataError, OSError, TooLargeForFilm) as error:
        say(console, f"left out: {error}")
        return Outcome(left_out=1)
    return Outcome(predicted=1) + _told(console, one, made.lost)


def _told(console: Console, one: Input, lost: str) -> Outcome:
    if lost:
        say(console, f"read in part: {one.path}: {lost}")
    return Outcome(in_part=bool(lost))


def _predict(networks, film: Film, made: FilmAnswers, kinds, console: Console, title: str) -> str:
    """Writes the answers of all frames; what could not be read, in words."""
    total, done, began = film.num_frames or len(film.times()), 0, time.monotonic()
    with (
        contextlib.closing(film.frames()) as frames,
        contextlib.closing(_written(networks, frames, made, kinds)) as written,
        StageProgress(console, title, total, unit="frame") as progress,
    ):
        for _ in written:
            done += 1
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(min(done, total), speed(rate).replace("image", "frame"))
        return frames.lost


def _written(networks, frames: films.Frames, made: FilmAnswers, kinds) -> Iterator[ReadFrame]:
    """Each frame once its answers are written."""

    def finish(computed: tuple[ReadFrame, list[Answers]]) -> ReadFrame:
        read, found = computed
        made.write(read.frame.time, answers.arrays(networks, read.frame.pixels, found, kinds))
        return read

    return map_ahead("write", finish, _computed(networks, frames, kinds), threads=1)


def _computed(networks, frames: films.Frames, kinds) -> Iterator[tuple[ReadFrame, list[Answers]]]:
    """Each frame and what the networks say of it."""
    with contextlib.closing(drawn_ahead("read", _prepared(networks, frames))) as drawn:
        for read in drawn:
            yield read, answers.said(networks, read.inputs, read.frame.pixels.shape[1::-1], kinds)


def _prepared(networks, frames: films.Frames) -> Iterator[ReadFrame]:
    for frame in frames:
        yield ReadFrame(frame, answers.network_inputs(networks, Image.fromarray(frame.pixels)))
