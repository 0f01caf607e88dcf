"""The description of a data set, and the registry of all: a file each in this folder, or a plugin of the user's own.

docs/EXTENDING.md has the contract and an example.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.basics import data_files
from data_pipelines.basics.errors import AccessError, DataError
from data_pipelines.basics.plugins import Registry
from data_pipelines.datasets.base import OnDisk
from data_pipelines.reading.examples import Example
from data_pipelines.reading.label_spaces import CITYSCAPES, LabelSpace


class Instances(NamedTuple):
    """Where a data set keeps which pixels are one car, one person: for the instance-weighted scores.

    Attributes:
      file: label file to the file of its picture's instances, there or not.
      counted: pixels of such a file, integer [H, W], to int32 [H, W]: train id * 1000 + number on an instance that is
        scored, -1 elsewhere.
      wanted: what such files are called, for people.
    """

    file: Callable[[Path], Path]
    counted: Callable[[np.ndarray], np.ndarray]
    wanted: str = "file of instances"


class Layout(NamedTuple):
    """A data set: where it keeps its pictures and labels, and how these are to be read.

    Attributes:
      splits: names of its splits: 'train', and 'val' and 'test' where there are such.
      on_disk: (root, split) to all that is there, complete or not.
      official_counts: pictures of each split as released; empty for a layout that nobody released.
      screen: examples to those that can be used and notes on the others; runs after the list file.
      has_labels: whether there can be labels.
      has_folders: whether on_disk takes `recursive`, for pictures in the folders below it.
      licence: of the released data, in a line; None where it is unknown.
      label_space: what the train ids mean that its labels are read as.
      may_lack_labels: whether a split without a single label is of use, as the target of adaptation.
      instances: how its instances are read; None: there are none.
    """

    splits: tuple[str, ...]
    on_disk: Callable[..., OnDisk]
    official_counts: Mapping[str, int] = {}
    screen: Callable[[list[Example]], tuple[list[Example], list[str]]] | None = None
    has_labels: bool = True
    has_folders: bool = False
    licence: str | None = None
    label_space: LabelSpace = CITYSCAPES
    may_lack_labels: bool = True
    instances: Instances | None = None

    def look(self, root: Path, split: str, recursive: bool = False) -> OnDisk:
        """The result of on_disk; `recursive` counts where the layout has such folders.

        Raises:
          AccessError: the system refuses to look at something.
          DataError: the split is not there.
        """
        more = {"recursive": True} if recursive and self.has_folders else {}
        try:
            found = self.on_disk(root, split, **more)
            return found._replace(images=list(found.images))
        except OSError as error:
            path = Path(error.filename or root)
            reason, advice = data_files.explain(path, error, "restore it, or name another folder")
            absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
            raise (DataError if absent else AccessError)(f"{path}: cannot be read ({reason}); {advice}") from None

    def passed_over(self, root: Path, split: str, on_disk: OnDisk, recursive: bool = False) -> list[Path]:
        """Files of what lies there of a split that look like pictures and belong to no split, in order."""
        files = on_disk.passed_over()
        for other in self.splits:
            if files and other != split:
                try:
                    theirs = set(self.look(root, other, recursive).files())
                except DataError:
                    continue
                files = [file for file in files if file not in theirs]
        return files


LAYOUTS: Registry[Layout] = Registry("data set", "data_pipelines.datasets")
register = LAYOUTS.register
