"""Confusion matrix, IoU and accuracy of semantic segmentation.

A confusion matrix is a sum over pixels, so batches, hosts and pictures merge by addition. The count of one
batch is made on the device in int32; the running sum belongs on the host in int64, since 500 Cityscapes
pictures alone hold 1e9 pixels.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

IGNORE_LABEL = 255
# Said in place of scores that would all be NaN.
NOTHING_TO_SCORE = "There is nothing to score on: every pixel of target val's labels is void. Are they the right files?"


def confusion_matrix(
    labels: jax.Array,
    predictions: jax.Array,
    *,
    num_classes: int,
    ignore_label: int = IGNORE_LABEL,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Counts pixels by (label, prediction); can be jitted with `num_classes` static.

    A pixel counts when its label and its prediction both lie in 0..num_classes-1, the label is not
    `ignore_label`, and its picture is not masked out.

    Args:
      labels: integer [B, H, W], train ids.
      predictions: integer [B, H, W].
      num_classes: C.
      ignore_label: label of pixels that do not count.
      mask: bool [B], False for the padding pictures of a last batch; None counts every picture.

    Returns:
      int32 [C, C], indexed [label, prediction]. One call may count at most 2**31 - 1 pixels.

    Raises:
      ValueError: labels and predictions differ in shape.
    """
    if labels.shape != predictions.shape:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must have one shape")
    # uint8 labels would wrap around in the product below.
    labels, predictions = labels.astype(jnp.int32), predictions.astype(jnp.int32)
    counts = (labels >= 0) & (labels < num_classes) & (labels != ignore_label)
    counts &= (predictions >= 0) & (predictions < num_classes)
    if mask is not None:
        counts &= mask.astype(bool).reshape((-1,) + (1,) * (labels.ndim - 1))
    # Pixels that do not count go to one cell past the end, which is cut off: shapes stay static under jit.
    cells = jnp.where(counts, labels * num_classes + predictions, num_classes**2)
    histogram = jnp.zeros(num_classes**2 + 1, jnp.int32).at[cells.reshape(-1)].add(1)
    return histogram[:-1].reshape(num_classes, num_classes)


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What one confusion matrix says, as fractions in 0..1; NaN where nothing was counted.

    Attributes:
      iou: float64 [C], intersection over union; NaN for a class in neither labels nor predictions, 0 for one
        that is predicted but never labelled.
      miou: mean of `iou` over classes that occur in labels or predictions (convention of cityscapesScripts).
      miou_present: mean of `iou` over classes that occur in the labels.
      pixel_accuracy: share of counted pixels that are right; the paper's column "mAcc".
      mean_class_accuracy: mean of `class_accuracy` over classes that occur in the labels.
      class_accuracy: float64 [C], share of a class's labelled pixels that are right (recall); NaN for a class
        without labels.
    """

    iou: np.ndarray
    miou: float
    miou_present: float
    pixel_accuracy: float
    mean_class_accuracy: float
    class_accuracy: np.ndarray

    def as_dict(self) -> dict[str, float | None | list[float | None]]:
        """Plain numbers and lists for JSON, with None for NaN (JSON has no NaN)."""
        return {
            name: [_none_if_nan(v) for v in value] if np.ndim(value) else _none_if_nan(value)
            for name, value in vars(self).items()
        }


def scores(confusion: np.ndarray) -> Scores:
    """Scores of a whole evaluation.

    Args:
      confusion: non-negative integer [C, C], indexed [label, prediction].

    Raises:
      ValueError: `confusion` is not a square matrix.
    """
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"a confusion matrix has shape [C, C], not {confusion.shape}")
    confusion = confusion.astype(np.int64)
    right = np.diag(confusion)
    labelled, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    iou = _ratio(right, labelled + predicted - right)
    class_accuracy = _ratio(right, labelled)
    return Scores(
        iou=iou,
        miou=_mean(iou[~np.isnan(iou)]),
        miou_present=_mean(iou[labelled > 0]),
        pixel_accuracy=float(_ratio(right.sum(), confusion.sum())),
        mean_class_accuracy=_mean(class_accuracy[labelled > 0]),
        class_accuracy=class_accuracy,
    )


def _ratio(numerator, denominator) -> np.ndarray:
    """float64 quotient, NaN where the denominator is 0 (without numpy's warning)."""
    denominator = np.asarray(denominator)
    out = np.full(denominator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _none_if_nan(value) -> float | None:
    return None if math.isnan(value) else float(value)
