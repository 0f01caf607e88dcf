"""Many pictures to files of answers: while one is computed, the next are read and those before it written."""

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
from dakd_jax.deploy.predicting.ahead import map_ahead
from dakd_jax.deploy.predicting.answer_files import AnswerFiles
from dakd_jax.deploy.predicting.inputs import Input
from dakd_jax.deploy.predicting.outcome import Outcome, say
from data_pipelines.pictures import handed_in


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


def predict_pictures(
    networks: Sequence[ReadyNetwork], pictures: Sequence[Input], files: AnswerFiles, kinds, console: Console
) -> Outcome:
    """Writes the answers of all pictures that have none yet; see everything.predict_all."""
    todo = [one for one in pictures if not files.are_there(one)]
    done, left_out, began = 0, 0, time.monotonic()
    with StageProgress(console, "Predicting", len(pictures), len(pictures) - len(todo), "picture") as progress:
        for read in _written(networks, todo, files, kinds):
            if read.problem:
                left_out += 1
                say(console, f"left out: {read.problem}")
            done += 1
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(len(pictures) - len(todo) + done, speed(rate).replace("image", "picture"))
    return Outcome(done - left_out, len(pictures) - len(todo), left_out)


def _written(networks, todo: Sequence[Input], files: AnswerFiles, kinds) -> Iterator[Read]:
    """Each picture once its answers are written, or, in its turn, as one that cannot be read."""

    def finish(computed: tuple[Read, list[Answers]]) -> Read:
        read, found = computed
        if not read.problem:
            files.write(read.one, read.mark, answers.arrays(networks, np.asarray(read.picture), found, kinds))
        return read

    return map_ahead("write", finish, _computed(networks, todo, kinds))


def _computed(networks, todo: Sequence[Input], kinds) -> Iterator[tuple[Read, list[Answers]]]:
    """Each picture and what the networks say of it; nothing of one that could not be read."""
    for read in map_ahead("read", lambda one: _read(networks, one), todo):
        yield read, [] if read.problem else answers.said(networks, read.inputs, read.picture.size, kinds)


def _read(networks: Sequence[ReadyNetwork], one: Input) -> Read:
    try:
        mark = one.mark()
        picture = handed_in.upright(one.path, networks[0].bit_depth)
        return Read(one, mark, picture, answers.network_inputs(networks, picture))
    except handed_in.AccessError:
        raise
    except (handed_in.DataError, OSError) as error:
        return Read(one, problem=str(error))
