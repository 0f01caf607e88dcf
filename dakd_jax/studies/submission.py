"""Label files for the Cityscapes server: one PNG of label ids for each picture, and a zip of them."""

import dataclasses
import pathlib
import re
import zipfile

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from rich.console import Console

from dakd_jax.basics import atomic_files, records
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import StageProgress
from dakd_jax.evaluation import predict, protocols
from dakd_jax.evaluation.protocol_predictions import Predictor
from dakd_jax.objectives.training_data import TrainingData
from dakd_jax.stages.networks import Network

SPLITS = ("val", "test")
ENDING = "_pred_labelIds.png"  # after CITY_SEQUENCE_FRAME: cityscapesScripts looks for CITY_SEQUENCE_FRAME*.png
ABOUT = "submission.json"
SERVER_NAME = re.compile(r"[^_]+_\d{6}_\d{6}")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # equal files give equal zips


@dataclasses.dataclass(frozen=True)
class SubmissionSettings:
    """What is handed in.

    Attributes:
      split: one of SPLITS.
      protocol: one of protocols.matrix(scales).
      scales: of the multi-scale protocols.
      training_size: (width, height) of the target's training pictures.
      batch_size: pictures in a batch.
    """

    split: str
    protocol: str
    scales: tuple[float, ...]
    training_size: tuple[int, int]
    batch_size: int

    @classmethod
    def of(cls, config: ConfigDict, size: tuple[int, int]) -> "SubmissionSettings":
        """Those of a config, for a network of a training_size."""
        chosen = config.eval
        protocol = chosen.submit_protocol or chosen.protocol
        return cls(chosen.split, protocol, chosen.scales, size, chosen.batch_size)


class Submission:
    """The label files of one network for one split, at the pictures' own size.

    Args:
      settings: what is handed in.
      feed: the data.
      folder: created where missing.

    Raises:
      UserError: wrong split or protocol, or a folder that holds something else.
      DataError: the split is not there.
    """

    def __init__(
        self, settings: SubmissionSettings, feed: TrainingData, network: Network, folder: pathlib.Path, console: Console
    ):
        if settings.split not in SPLITS:
            raise UserError(f"config.eval.split={settings.split!r}: expected 'val' or 'test'")
        self._row = _row(settings)
        self._predictor = Predictor({self._row.name: self._row}, settings.training_size)
        self._pictures = feed.target_pictures(settings.split)
        self._settings, self._feed, self._network, self._console = settings, feed, network, console
        self.folder, self._archive = folder, folder.with_name(f"{folder.name}.zip")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the pictures, in order."""
        return tuple(example.name for example in self._pictures.examples)

    def note(self) -> str:
        """What keeps the server from taking it, '' for nothing."""
        odd = [name for name in self.names if not SERVER_NAME.fullmatch(name)]
        wanted = "CITY_SEQUENCE_FRAME as Cityscapes names them"
        return f"{len(odd)} pictures are not called {wanted}, the first {odd[0]}" if odd else ""

    def write(self) -> tuple[pathlib.Path, int]:
        """Writes the files that are not there yet, each whole or not at all, then the zip.

        Returns:
          Path of the zip, and how many files were written now.
        """
        self._make_folder()
        there = frozenset(name for name in self.names if self._file(name).exists())
        missing = len(self.names) - len(there)
        if missing:
            self._archive.unlink(missing_ok=True)  # if this is stopped, no older zip may pass for its outcome
            self._predict(there)
        if not self._archive.exists():
            self._zip()
        return self._archive, missing

    def _predict(self, there: frozenset[str]) -> None:
        """Writes the files of all pictures but those in `there`."""
        network, variables = self._network, self._network.variables()
        label_ids = np.array(self._feed.label_ids, np.uint8)
        batches = self._feed.picture_batches(
            self._pictures, views=self._predictor.views, batch_size=self._settings.batch_size, skip=there
        )
        title, of_all = f"{network.title}: label files", {"total": len(self.names), "start": len(there)}
        with StageProgress(self._console, title, **of_all, unit="picture") as progress:
            for batch in batches:
                ((_, predictions),) = self._predictor.predictions(network.model, variables, batch)
                for name, classes in zip(batch["names"], predictions, strict=True):
                    with atomic_files.replacing(self._file(name)) as temporary:
                        Image.fromarray(label_ids[classes]).save(temporary, format="PNG", optimize=True)
                progress.advance(len(batch["names"]))

    def _about(self) -> dict:
        # Only where it departs: folders that earlier releases began are gone on with.
        numerics = {"numerics": predict.NUMERICS_VERSION} if predict.NUMERICS_VERSION != 1 else {}
        return records.plain(
            {
                **numerics,
                "network": self._network.name,
                "hash": self._network.hash,
                "protocol": self._row.name,
                "rules": dataclasses.asdict(self._row.rules),
                "training_size": self._settings.training_size,
                "split": self._settings.split,
                "pictures": self._pictures.fingerprint,
            }
        )

    def _make_folder(self) -> None:
        """Takes up what an earlier command with the same outcome left; refuses files of another one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told, about = records.read_json(self.folder / ABOUT), self._about()
        if told is None and all(path.name.startswith(".") for path in self.folder.iterdir()):
            records.write_json(self.folder / ABOUT, about)
        elif told != about:
            told = told or {}
            other = ", ".join(f"{key} {told.get(key)}" for key in about if told.get(key) != about[key])
            raise UserError(f"{self.folder} holds label files of another command ({other}); move or delete it first")

    def _file(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}{ENDING}"

    def _zip(self) -> None:
        with (
            atomic_files.replacing(self._archive) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,  # a PNG cannot be packed further
        ):
            for file in map(self._file, self.names):
                archive.writestr(zipfile.ZipInfo(file.name, _ZIP_TIME), file.read_bytes())


def _row(settings: SubmissionSettings) -> protocols.NamedProtocol:
    """The protocol that predicts, at native size whatever size it compares at; UserError of an unknown one."""
    known = protocols.matrix(settings.scales)
    name = settings.protocol
    if name not in known:
        raise UserError(f"config.eval.submit_protocol={name!r}: expected one of {', '.join(known)}")
    return protocols.at_native_size(known[name])
