"""What the pixels of a label file are, whatever they should be."""

import numpy as np
from PIL import Image

from data_pipelines.reading import label_spaces
from data_pipelines.reading.label_spaces import LABEL_IDS, NUM_CLASSES, TRAIN_IDS

LABEL_ID, TRAIN_ID, TRAIN_ID_19 = "label ids", "train ids", "train ids with 19 as void"
EITHER = "ids"  # values that are both label ids and train ids
COLOURS, OTHER_COLOURS = "RGB colours of Cityscapes", "unknown RGB colours"
OTHER = "unknown values"
LOSSY = "lossily compressed pixels"  # told by the file, whatever its pixels are

# Real train ids read as label ids are 46 to 99 % void, street scenes in label ids without an id above 18 hardly ever.
MOSTLY = 0.4
# So much of a file may be outside a table before it is no longer recognised as of that table.
_TOLERATED = 0.05
_VOID_AS_LABEL_ID = label_spaces.LABEL_ID_TO_TRAIN_ID == label_spaces.IGNORE_LABEL


def of_pixels(pixels: np.ndarray) -> str:
    """One of the kinds above, or what numpy calls the pixels where they are neither bytes nor colours.

    Args:
      pixels: as stored in the file, [H, W] or [H, W, C].
    """
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        _, known = label_spaces.train_ids_from_colours(pixels)
        return COLOURS if known.mean() >= 1 - _TOLERATED else OTHER_COLOURS
    if pixels.ndim == 2 and pixels.dtype == np.uint8:
        return of_values(np.array(Image.fromarray(pixels).histogram()))
    return f"{pixels.dtype} pixels"


def of_values(counts: np.ndarray) -> str:
    """The kind of a label of bytes.

    Train ids are also label ids, of other classes: read as such, most of a street scene would be void. That tells
    them apart.

    Args:
      counts: int64 [256], pixels of each value.
    """
    if counts[~LABEL_IDS.known].sum() > _TOLERATED * counts.sum():
        return OTHER
    counts = np.where(LABEL_IDS.known, counts, 0)
    mostly_void = counts[_VOID_AS_LABEL_ID].sum() > MOSTLY * counts.sum() and np.count_nonzero(counts) > 1
    above = np.flatnonzero(np.where(TRAIN_IDS.known, 0, counts))
    if not above.size:
        return TRAIN_ID if mostly_void else EITHER
    return TRAIN_ID_19 if mostly_void and above.tolist() == [NUM_CLASSES] else LABEL_ID
