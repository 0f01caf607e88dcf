"""A picture and its label as an example of a tfds dataset."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.basics import data_files
from data_pipelines.datasets import LAYOUTS
from data_pipelines.pictures import orientation
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example
from data_pipelines.tfds_builders.archives import Member

PASSED_THROUGH = {"PNG", "JPEG"}  # what tensorflow decodes
_ENCODINGS = {e.name: e for e in (label_spaces.LABEL_IDS, label_spaces.TRAIN_IDS, label_spaces.GTA5_IDS)}


class ExampleFiles(NamedTuple):
    """The files of an example; pickles small to send to another process, as Beam runners limit what a pipeline holds.

    Attributes:
      dataset: name of the layout.
      name: as Example.name.
      file_name: of the picture, relative to the dataset's root.
      image: the picture.
      label: None in an unlabelled split.
      encoding: name of the label's encoding.
    """

    dataset: str
    name: str
    file_name: str
    image: Path | Member
    label: Path | Member | None
    encoding: str

    @classmethod
    def of(cls, dataset: str, root: Any, example: Example) -> "ExampleFiles":
        """The pair of an example that the reader of a layout lists below a root, a folder or an ArchivePath."""
        files = [getattr(path, "member", path) for path in (example.image, example.label)]
        file_name = example.image.relative_to(root).as_posix()
        return cls(dataset, example.name, file_name, *files, example.encoding.name)


class TfdsExample(NamedTuple):
    """An example of a tfds dataset, its pictures encoded.

    Attributes:
      key: unique in the split.
      features: as builder.info.features names them; None for a pair that is left out.
      unknown_pixels: pixels of the label that are outside of its table; they are 255.
    """

    key: str
    features: dict[str, Any] | None
    unknown_pixels: int = 0


class _Content(io.BytesIO):
    """The bytes of a file, which `loading` opens and names in messages as it does the file."""

    def __init__(self, file: Path | Member):
        with data_files.reading(file, restore="restore the file"):
            super().__init__(file.read_bytes())
        self.name = Path(str(file)).name
        self._file = str(file)

    def __str__(self) -> str:
        return self._file

    __repr__ = __str__


def make(pair: ExampleFiles, image_key: str = "image", label_ids_key: str = "") -> TfdsExample:
    """Reads a pair as training does.

    Args:
      pair: its files.
      image_key: name of the picture's feature.
      label_ids_key: name of a feature for the label ids; '' for none.

    Raises:
      DataError: a file cannot be read, picture and label do not fit, or the label has wrong values.
    """
    image, label = _Content(pair.image), _Content(pair.label) if pair.label else None
    example = Example(pair.name, image, label, _ENCODINGS[pair.encoding])
    screen = LAYOUTS[pair.dataset].screen
    if screen and not screen([example])[0]:
        return TfdsExample(pair.name, None)
    loaded = loading.load_example(example, loading.image_size(example), None)
    train_ids = loaded.label
    if train_ids is None:
        train_ids = np.full(loaded.image.shape[:2], label_spaces.IGNORE_LABEL, np.uint8)
    features = {
        "image_id": pair.name,
        "file_name": pair.file_name,
        image_key: image.getvalue() if _is_plain(image, ("RGB", "L"), example.upright) else _png(loaded.image),
        "label": _png(train_ids),
    }
    if label_ids_key:
        features[label_ids_key] = _label_ids(label, example.encoding) if label else _png(np.zeros_like(train_ids))
    return TfdsExample(pair.name, features, loaded.unknown_pixels)


def _label_ids(label: _Content, encoding: label_spaces.LabelEncoding) -> bytes:
    """A label as a PNG of label ids: the file itself where it is such a PNG, else encoded anew."""
    pixels = loading.decode(label)
    if encoding is label_spaces.TRAIN_IDS:
        return _png(label_spaces.TRAIN_ID_TO_LABEL_ID[pixels])
    return label.getvalue() if _is_plain(label, ("L",)) else _png(pixels)


def _is_plain(content: _Content, modes: tuple[str, ...], upright: bool = False) -> bool:
    """Whether tensorflow decodes the file as it is read here (not of palettes and alpha; and it turns none)."""
    with Image.open(content) as picture:
        turned = upright and orientation.of(picture) != orientation.UPRIGHT
        return picture.format in PASSED_THROUGH and picture.mode in modes and not turned


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
