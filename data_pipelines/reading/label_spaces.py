"""Label spaces as data: class names, palette, and the ways a label file can be encoded. One is there: Cityscapes'.

Source of the table: cityscapesscripts.helpers.labels. GTA5 and BDD100K are labelled in the same space.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

IGNORE_LABEL = 255


class LabelClass(NamedTuple):
    """One row of the Cityscapes table; `train_id` is IGNORE_LABEL for classes that are not evaluated."""

    name: str
    label_id: int
    train_id: int
    colour: tuple[int, int, int]


LABEL_CLASSES = (
    LabelClass("road", 7, 0, (128, 64, 128)),
    LabelClass("sidewalk", 8, 1, (244, 35, 232)),
    LabelClass("building", 11, 2, (70, 70, 70)),
    LabelClass("wall", 12, 3, (102, 102, 156)),
    LabelClass("fence", 13, 4, (190, 153, 153)),
    LabelClass("pole", 17, 5, (153, 153, 153)),
    LabelClass("traffic light", 19, 6, (250, 170, 30)),
    LabelClass("traffic sign", 20, 7, (220, 220, 0)),
    LabelClass("vegetation", 21, 8, (107, 142, 35)),
    LabelClass("terrain", 22, 9, (152, 251, 152)),
    LabelClass("sky", 23, 10, (70, 130, 180)),
    LabelClass("person", 24, 11, (220, 20, 60)),
    LabelClass("rider", 25, 12, (255, 0, 0)),
    LabelClass("car", 26, 13, (0, 0, 142)),
    LabelClass("truck", 27, 14, (0, 0, 70)),
    LabelClass("bus", 28, 15, (0, 60, 100)),
    LabelClass("train", 31, 16, (0, 80, 100)),
    LabelClass("motorcycle", 32, 17, (0, 0, 230)),
    LabelClass("bicycle", 33, 18, (119, 11, 32)),
    LabelClass("unlabeled", 0, IGNORE_LABEL, (0, 0, 0)),
    LabelClass("ego vehicle", 1, IGNORE_LABEL, (0, 0, 0)),
    LabelClass("rectification border", 2, IGNORE_LABEL, (0, 0, 0)),
    LabelClass("out of roi", 3, IGNORE_LABEL, (0, 0, 0)),
    LabelClass("static", 4, IGNORE_LABEL, (20, 20, 20)),  # (0, 0, 0) in Cityscapes, this colour in GTA5
    LabelClass("dynamic", 5, IGNORE_LABEL, (111, 74, 0)),
    LabelClass("ground", 6, IGNORE_LABEL, (81, 0, 81)),
    LabelClass("parking", 9, IGNORE_LABEL, (250, 170, 160)),
    LabelClass("rail track", 10, IGNORE_LABEL, (230, 150, 140)),
    LabelClass("guard rail", 14, IGNORE_LABEL, (180, 165, 180)),
    LabelClass("bridge", 15, IGNORE_LABEL, (150, 100, 100)),
    LabelClass("tunnel", 16, IGNORE_LABEL, (150, 120, 90)),
    LabelClass("polegroup", 18, IGNORE_LABEL, (153, 153, 153)),
    LabelClass("caravan", 29, IGNORE_LABEL, (0, 0, 90)),
    LabelClass("trailer", 30, IGNORE_LABEL, (0, 0, 110)),
    LabelClass("license plate", 34, IGNORE_LABEL, (0, 0, 142)),  # 34 in GTA5, -1 in Cityscapes
    LabelClass("license plate", 255, IGNORE_LABEL, (0, 0, 142)),  # -1 stored in a byte
)

_EVALUATED = sorted((row for row in LABEL_CLASSES if row.train_id != IGNORE_LABEL), key=lambda r: r.train_id)

CITYSCAPES_CLASSES: tuple[str, ...] = tuple(row.name for row in _EVALUATED)
NUM_CLASSES = len(CITYSCAPES_CLASSES)
PALETTE = np.array([row.colour for row in _EVALUATED], np.uint8)  # [19, 3] RGB

# Of cityscapesScripts: the category of each evaluated class, and the mean size in pixels of the instances of those
# classes that have instances, by which the instance-weighted IoU weighs.
CATEGORIES: tuple[str, ...] = (
    *("flat",) * 2,
    *("construction",) * 3,
    *("object",) * 3,
    *("nature",) * 2,
    "sky",
    *("human",) * 2,
    *("vehicle",) * 6,
)
MEAN_INSTANCE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}


def _lookup_table(pairs) -> np.ndarray:
    """uint8 [256] that maps key to value for each pair, and everything else to IGNORE_LABEL."""
    table = np.full(256, IGNORE_LABEL, np.uint8)
    for key, value in pairs:
        table[key] = value
    return table


LABEL_ID_TO_TRAIN_ID = _lookup_table((row.label_id, row.train_id) for row in LABEL_CLASSES)

# The way back, for writing label files: 255 becomes "unlabeled" (0), the other unused train ids too.
TRAIN_ID_TO_LABEL_ID = np.zeros(256, np.uint8)
TRAIN_ID_TO_LABEL_ID[:NUM_CLASSES] = [row.label_id for row in _EVALUATED]


def _pack(rgb: np.ndarray) -> np.ndarray:
    """RGB [..., 3] of 0..255 to one int32 0xRRGGBB [...]."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _colour_table() -> tuple[np.ndarray, np.ndarray]:
    """Sorted packed colours and their train ids; of classes that share a colour the evaluated one wins."""
    train_ids: dict[int, int] = {}
    for row in LABEL_CLASSES:  # evaluated classes come first
        train_ids.setdefault(int(_pack(np.array(row.colour))), row.train_id)
    colours = sorted(train_ids)
    return np.array(colours, np.int32), np.array([train_ids[c] for c in colours], np.uint8)


_COLOURS, _COLOUR_TRAIN_IDS = _colour_table()


def train_ids_from_colours(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decodes a coloured label.

    Args:
      rgb: uint8 [H, W, 3], colours of the Cityscapes palette.

    Returns:
      train ids uint8 [H, W], and bool [H, W] that is False where the colour is not in the table (there the
      train id is 255). A pole group is read as pole and a licence plate as car: they share those colours.
    """
    packed = _pack(rgb)
    index = np.minimum(np.searchsorted(_COLOURS, packed), len(_COLOURS) - 1)
    known = _COLOURS[index] == packed
    return np.where(known, _COLOUR_TRAIN_IDS[index], np.uint8(IGNORE_LABEL)), known


def colourise(train_ids: np.ndarray, palette: np.ndarray = PALETTE) -> np.ndarray:
    """Train ids uint8 [...] to RGB uint8 [..., 3] in a palette, uint8 [C, 3]; all but its classes are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[train_ids]


def no_train_ids(labels: np.ndarray) -> list[int]:
    """The sorted values in labels uint8 [...] that are neither train ids nor 255; cheap where there are none."""
    if not labels.size or (labels + np.uint8(1)).max() <= NUM_CLASSES:  # 255 + 1 is 0 in a byte
        return []
    values = np.unique(labels)
    return values[(values >= NUM_CLASSES) & (values != IGNORE_LABEL)].tolist()


@dataclasses.dataclass(frozen=True, eq=False)
class LabelEncoding:
    """How the pixel values of a label file are to be read.

    Attributes:
      name: what messages call it.
      to_train_id: uint8 [256], value to train id, 255 for void and for values outside the table.
      known: bool [256], values that are in the table.
      allows_colours: whether an RGB file is decoded by colour; otherwise it is an error.
      max_unknown: largest tolerated share of pixels outside the table; these become 255 and are counted.

    Raises:
      ValueError: a table that would let other values through than train ids and 255: nothing looks at them again.
    """

    name: str
    to_train_id: np.ndarray
    known: np.ndarray
    allows_colours: bool = False
    max_unknown: float = 0.0

    @property
    def of_label_ids(self) -> bool:
        """Whether the values are Cityscapes' label ids, for which train ids may be mistaken."""
        return np.array_equal(self.to_train_id, LABEL_ID_TO_TRAIN_ID)

    @property
    def of_train_ids(self) -> bool:
        """Whether the values are the train ids themselves."""
        return np.array_equal(self.to_train_id, TRAIN_IDS.to_train_id)

    def __post_init__(self):
        if self.to_train_id.shape != (256,) or self.to_train_id.dtype != np.uint8 or no_train_ids(self.to_train_id):
            raise ValueError(
                f"{self.name}: expected a table of 256 bytes, each a train id 0..{NUM_CLASSES - 1} or {IGNORE_LABEL}"
            )


_KNOWN_LABEL_IDS = np.isin(np.arange(256), [row.label_id for row in LABEL_CLASSES])
_TRAIN_IDS = _lookup_table((i, i) for i in range(NUM_CLASSES))
_KNOWN_TRAIN_IDS = np.isin(np.arange(256), [*range(NUM_CLASSES), IGNORE_LABEL])

LABEL_IDS = LabelEncoding("Cityscapes label ids", LABEL_ID_TO_TRAIN_ID, _KNOWN_LABEL_IDS)
TRAIN_IDS = LabelEncoding("train ids (0..18 and 255)", _TRAIN_IDS, _KNOWN_TRAIN_IDS)
GTA5_IDS = LabelEncoding("GTA5 label ids", LABEL_ID_TO_TRAIN_ID, _KNOWN_LABEL_IDS, True, 0.05)


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSpace:
    """The classes that train ids 0..C-1 stand for; those of source and target are the same.

    Attributes:
      name: what messages call it.
      class_names: C names.
      palette: uint8 [C, 3] RGB.
      categories: C names of groups of classes.
      mean_instance_sizes: pixels of a class's mean instance, by name of the classes that have instances.
      label_ids: C ids, what a label file for the benchmark's server holds.
    """

    name: str
    class_names: tuple[str, ...]
    palette: np.ndarray
    categories: tuple[str, ...]
    mean_instance_sizes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    label_ids: tuple[int, ...] = ()

    def outside(self, train_ids: np.ndarray) -> list[int]:
        """The sorted values in train ids uint8 [...] that are neither a class nor 255."""
        values = np.unique(train_ids)
        return values[(values >= len(self.class_names)) & (values != IGNORE_LABEL)].tolist()

    def encoding(self, name: str, ids: Mapping[int, str | None], *, max_unknown: float = 0.0) -> LabelEncoding:
        """How the labels of a data set with ids of its own are read.

        Args:
          name: what messages call the ids, as 'my ids'.
          ids: {value of a pixel, 0..255: name of its class, or None for void}; other values are errors.
          max_unknown: largest tolerated share of a label's pixels with other values; these become void.

        Raises:
          ValueError: a value or a class that cannot be.
        """
        for value, class_name in ids.items():
            if value not in range(256):
                raise ValueError(f"{name}: {value!r}: expected values 0..255 of pixels")
            if class_name is not None and class_name not in self.class_names:
                raise ValueError(
                    f"{name}: {value}: no class {class_name!r}; expected {', '.join(self.class_names)}, None"
                )
        classes = ((v, self.class_names.index(c)) for v, c in ids.items() if c is not None)
        return LabelEncoding(name, _lookup_table(classes), np.isin(np.arange(256), list(ids)), max_unknown=max_unknown)


CITYSCAPES = LabelSpace(
    name="cityscapes",
    class_names=CITYSCAPES_CLASSES,
    palette=PALETTE,
    categories=CATEGORIES,
    mean_instance_sizes=MEAN_INSTANCE_SIZES,
    label_ids=tuple(TRAIN_ID_TO_LABEL_ID[:NUM_CLASSES].tolist()),
)
