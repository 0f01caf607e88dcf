"""One stage to train, as data."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from rich.console import Console

from dakd_jax.evaluation.checkpoint_choice import Selection
from dakd_jax.evaluation.predict import Protocol
from dakd_jax.objectives.optimizers import SegmenterOptimizer
from dakd_jax.objectives.training_data import UnreadablePictures
from dakd_jax.training.step.options import LossWeights, StepModels, StepOptions


@dataclasses.dataclass(frozen=True)
class StageSettings:
    """All that the training of one stage is made of, apart from data and weights.

    Attributes:
      size: (height, width) of the source's training pictures.
      taught_on: of 'source' and 'target', those whose pictures the teacher is asked about.
      teacher_size: (width, height) that it sees them at; (0, 0): as the student.
      clean: whether it sees them without colour jitter and blur.
    """

    models: StepModels
    options: StepOptions
    weights: LossWeights
    optimizer: SegmenterOptimizer
    steps: int
    size: tuple[int, int]
    taught_on: tuple[str, ...] = ()
    teacher_size: tuple[int, int] = (0, 0)
    clean: bool = False


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """How the loop around the steps goes.

    Attributes:
      batch_size: pictures of each domain in a step.
      devices: how many share a step, 0: as many as there are and divide the batch.
      learning_rate: of the segmenter at step 0.
      decay_steps, power: of the polynomial decay of all learning rates; 0 steps: as many as the stage has.
      warmup_steps: over which all learning rates rise.
      log_every, checkpoint_every, eval_every: in steps; 0: no evaluation.
      keep_checkpoints: how many of the newest stay.
      keep_every: those of its multiples stay besides; 0: none.
      max_skipped: how many steps may be left out because something was not finite.
      protocol: that target val is evaluated under meanwhile.
      memory_budget_gb: of a device, that a step is to stay within; 0: it takes what it needs.
    """

    batch_size: int
    learning_rate: float
    decay_steps: int
    power: float
    warmup_steps: int
    log_every: int
    checkpoint_every: int
    eval_every: int
    keep_checkpoints: int
    keep_every: int
    max_skipped: int
    protocol: Protocol
    devices: int = 0
    memory_budget_gb: float = 0.0


@dataclasses.dataclass(frozen=True)
class StageJob:
    """One stage to train.

    Attributes:
      title, stage, folder: what it is called, by people and in paradigms.STAGES, and where everything about it goes.
      settings: networks, losses, optimisers, steps.
      loop: learning rates, checkpoints, logs, evaluations.
      segmenter: weights that it starts from.
      seed: of what adaptation methods and loss terms draw at the start.
      teacher: frozen {'params', 'batch_stats'}, or None.
      batches: start step -> endless iterator of training batches, of several processes this one's part; with
        whole=True all of each.
      eval_batches: () -> one pass over target val; None when there is none.
      selection: scores the candidates, one at each evaluation, of which the best one counts; None: the last step does.
      show: names of the pictures whose predictions go to TensorBoard.
      config: plain data, for the bundle of a step that goes wrong.
      identity: of the stage, stored in its checkpoints.
      palette: uint8 [C, 3].
      unreadable: the training pictures that could not be read, () for none.
    """

    title: str
    stage: str
    folder: pathlib.Path
    settings: StageSettings
    loop: LoopSettings
    segmenter: dict
    seed: int
    teacher: dict | None
    batches: Callable
    eval_batches: Callable | None
    selection: Selection | None
    show: tuple[str, ...]
    config: dict
    identity: dict
    palette: np.ndarray
    unreadable: UnreadablePictures | tuple[()] = ()

    def say(self, console: Console, line: str) -> None:
        """Prints one line that begins with the title."""
        console.print(f"{self.title}: {line}", highlight=False, soft_wrap=True)
