"""What dakd_jax needs of the data: the parameter `feed` everywhere. data_pipelines/feeding/feed.py: Feed is such."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Size = tuple[int, int]  # (width, height), pixels
View = tuple[Size, str]  # size of a picture, and the filter that makes it so: 'bicubic' or 'bilinear'


class Notes(Protocol):
    """The domains of a run, source and target; `notes` are lines for people about what was found."""

    @property
    def notes(self) -> Sequence[str]: ...


class Pictures(Protocol):
    """Unlabelled pictures: `examples` in order, each with its `name`; `fingerprint` of their files."""

    @property
    def examples(self) -> Sequence[Any]: ...

    @property
    def fingerprint(self) -> str: ...


class UnreadablePictures(Protocol):
    """The training pictures that could not be read and were replaced; its length is their number."""

    @property
    def reasons(self) -> dict[str, str]:
        """Picture, DATASET/SPLIT/NAME, to what is wrong with it."""

    def remember(self, reasons: dict[str, str]) -> None:
        """Counts those of an earlier process of the same stage."""

    def __len__(self) -> int: ...


class TrainingData(Protocol):
    """The labelled source and the unlabelled target of a run, and target val, opened when they are first asked for.

    Pictures are uint8 RGB, labels uint8 train ids 0 to C-1 with 255 = ignore. Whatever opens or reads files raises a
    one-line error for what is wrong with them. `labelled` is 'source' or 'target': whose labels a stage learns from.
    """

    # Classes of source and target, C in all, in the order of the train ids.

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def palette(self) -> np.ndarray:
        """uint8 [C, 3] RGB."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Of each class, as Cityscapes groups them."""

    @property
    def mean_instance_sizes(self) -> Mapping[str, float]:
        """Pixels of a class's mean instance, by name of the classes that have instances."""

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Of each class, what a label file for the benchmark's server holds."""

    # The run's domains.

    @property
    def benchmark(self) -> str:
        """What reports call the pair, as 'bdd' or 'gta5 + my_city -> cityscapes'."""

    @property
    def domains(self) -> Notes: ...

    def training_problem(self) -> str:
        """Why there is nothing to train on, '' when there is."""

    def fingerprint(self, labelled: str, with_target: bool) -> str:
        """Of the files that a stage learns from."""

    def licences(self, labelled: str, with_target: bool) -> dict[str, str | None]:
        """{data set: licence in a line, None where it is unknown} of the files that fingerprint() is of."""

    def audit(self, labelled: Collection[str]) -> list[str]:
        """Warnings of a quick look at the files; raises for what a stage would stop at, or learn wrongly from."""

    # To train on.

    def train_batches(
        self,
        *,
        seed: int,
        start_step: int,
        labelled: str,
        with_target: bool,
        mix_classes: bool,
        extras: Mapping[str, Any] | None = None,
        unreadable: UnreadablePictures | None = None,
        network: str = "student",
        taught_on: tuple[str, ...] = (),
        clean: bool = False,
        identified: tuple[str, ...] = (),
        host: tuple[int, int] = (0, 1),
    ) -> Iterator[dict]:
        """An endless iterator of batches, each a pure function of seed and step.

        Args:
          with_target: whether batches hold target pictures.
          mix_classes: whether config.data.class_mix applies.
          extras: what adaptation methods ask for besides, see Method.data.
          unreadable: counts the pictures that cannot be read and are replaced.
          network: who is trained; the 'teacher' sees config.data.teacher_size, where that is set.
          taught_on: of 'source' and 'target', those whose pictures a teacher is asked about.
          clean: whether it sees them without colour jitter and blur.
          identified: of taught_on, the domains of which batches tell which pictures the teacher sees.
          host: (index, count): of `count` processes this one gets its own part of every step's batch.

        Returns:
          dicts of `source_image` [B, H, W, 3], `source_label` [B, H, W]; with_target also `target_image`
          [B, H', W', 3] and, with class-mix, `target_label` [B, H', W'], 255 where nothing was pasted; with mixtures
          `mixed_image` and `mixed_label` of the target's size; with taught_on, where the teacher sees others than the
          student, `teacher_source_image`, `teacher_target_image`, augmented and pasted as the student's. For each of
          `identified` `source_picture`, `target_picture` int64 [B, 2]: a picture's index in training_pictures(), and 1
          where it is mirrored, else 0.
        """

    def training_pictures(self, domain: str) -> Pictures:
        """Those of 'source' or 'target', each with a name of its own."""

    def training_images(self, domain: str, indices: Sequence[int], *, network: str) -> Iterator[np.ndarray | None]:
        """Training pictures of these indices [h, w, 3] as a network sees them, before any augmentation.

        None in the place of one that cannot be read.
        """

    def unreadable(self, report: Callable[[str], None]) -> UnreadablePictures:
        """A new count for train_batches; `report` is told a line about each picture."""

    # To choose a checkpoint by, without a label of the target.

    @property
    def source_split(self) -> str:
        """'val'; 'train' where the source has no labelled validation pictures."""

    def source_batches(
        self, *, count: int, batch_size: int, network: str = "student", host: tuple[int, int] = (0, 1)
    ) -> Iterator[dict]:
        """One pass over at most `count` labelled source pictures: batches as of eval_batches, at the training size."""

    def target_batches(
        self, *, count: int, batch_size: int, network: str = "student", host: tuple[int, int] = (0, 1)
    ) -> Iterator[dict]:
        """One pass over at most `count` target pictures: `image` [B, h, w, 3], `mask` bool [B], False for padding."""

    def selection_fingerprint(self, count: int) -> str:
        """Of the pictures of source_batches and target_batches."""

    # Target val.

    def evaluation_problem(self) -> str:
        """Why it cannot be used, '' when it can."""

    def target_lacks_labels(self) -> bool:
        """Whether a run may do without scores, since the target has no label at all."""

    def evaluation_names(self) -> tuple[str, ...]:
        """Names of its pictures, in order."""

    def evaluation_fingerprint(self) -> str:
        """Of its files."""

    def eval_batches(
        self,
        *,
        image_size: Size,
        label_size: Size | None,
        resample: str,
        batch_size: int,
        host: tuple[int, int] = (0, 1),
    ) -> Iterator[dict]:
        """One pass in batches of constant size; of `count` processes each, (index, count), gets its own batches.

        Returns:
          dicts of `image` [B, h, w, 3], `label` [B, H, W] (native size where label_size is None), `mask` bool [B],
          False for padding at the end, and `names`, B strings.
        """

    def pictures(
        self, names: Sequence[str], *, image_size: Size, label_size: Size | None = None, resample: str = "bicubic"
    ) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """(name, image [h, w, 3], label [H, W]) of some pictures, as in eval_batches."""

    # Pictures for many protocols at once.

    def instances_problem(self) -> str:
        """Why target val's instances cannot be scored, '' when they can."""

    def protocol_fingerprint(self) -> str:
        """Of target val's files, instances included."""

    def protocol_batches(
        self,
        *,
        views: Sequence[View],
        label_sizes: Sequence[Size | None],
        batch_size: int,
        skip: frozenset[str] = frozenset(),
    ) -> Iterator[dict]:
        """One pass over target val but the pictures named in `skip`, in batches of one native size.

        Returns:
          dicts of `names`, n <= batch_size strings; `size`, (height, width) of the files; `pictures`, n arrays
          [H, W, 3]; `views` {view: [batch_size, h, w, 3]}, black where there is no picture; `labels` {label size:
          [n, h, w]}; `instances`, n arrays int32 [H, W] or None.
        """

    def target_pictures(self, split: str) -> Pictures:
        """The target's 'val' or 'test' pictures, without labels."""

    def picture_batches(
        self, pictures: Pictures, *, views: Sequence[View], batch_size: int, skip: frozenset[str]
    ) -> Iterator[dict]:
        """As protocol_batches, of target_pictures(), without labels and instances."""
