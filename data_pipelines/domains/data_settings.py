"""The settings of config.data: every value that the data half reads, checked."""

import math
from typing import Any

from data_pipelines.augmentation.photometric import JITTERED, MAX_HUE
from data_pipelines.augmentation.transforms import NO_SIZE
from data_pipelines.basics.errors import DataError
from data_pipelines.domains import pairs
from data_pipelines.pictures.wide_pixels import BIT_DEPTH_MEANS, BIT_DEPTHS

MIN_SIDE = 8  # pixels: nothing can be told apart in less


def check_settings(data: Any) -> None:
    """Raises a DataError for the first setting of config.data that cannot work."""

    def require(ok: bool, field: str, expected: str) -> None:
        if not ok:
            raise DataError(f"data.{field}={data[field]!r}: expected {expected}; set --config.data.{field}")

    pairs.check(data)
    for field in ("source_size", "target_size", *["teacher_size"] * (teacher_size(data) != NO_SIZE)):
        check_size(f"data.{field}", data[field])
    require(data.batch_size >= 1, "batch_size", "a number >= 1")
    require(bit_depth(data) in (0, *BIT_DEPTHS), "bit_depth", BIT_DEPTH_MEANS)
    require(data.loader in ("tf", "numpy"), "loader", "'tf' or 'numpy'")
    require(data.num_parallel_calls >= 0, "num_parallel_calls", "a number of threads, 0 for one on each core")
    require(data.prefetch >= 0, "prefetch", "a number >= 0")
    require(data.cache_mb >= 0, "cache_mb", "a number of MiB >= 0")
    require(data.max_unreadable >= 0, "max_unreadable", "a number >= 0")
    require(_is_range(data.scale) and data.scale[0] > 0, "scale", "(low, high), 0 < low <= high")
    require(_is_range(data.blur), "blur", "(low, high), 0 <= low <= high")
    require(_are_strengths(data.colour_jitter), "colour_jitter", "four strengths >= 0, the last (hue) at most 0.5")
    require(0 <= data.class_mix <= 1, "class_mix", "a probability")
    require(data.rare_class_temperature >= 0, "rare_class_temperature", "a number >= 0")
    if tuple(data.crop) != NO_SIZE:
        check_size("data.crop", data.crop)


def _is_range(values: Any) -> bool:
    numbers = len(values) == 2 and all(isinstance(v, (int, float)) for v in values)
    return numbers and 0 <= values[0] <= values[1] < math.inf


def _are_strengths(values: Any) -> bool:
    numbers = len(values) == len(JITTERED) and all(isinstance(v, (int, float)) for v in values)
    return numbers and min(values) >= 0 and values[-1] <= MAX_HUE


def check_size(field: str, size: tuple[int, int]) -> None:
    """Raises a DataError unless size is (width, height) with both at least MIN_SIDE."""
    if len(size) != 2 or not all(isinstance(side, int) and side >= MIN_SIDE for side in size):
        raise DataError(f"{field}={tuple(size)}: expected (width, height), each at least {MIN_SIDE} pixels")


def teacher_size(data: Any) -> tuple[int, int]:
    """(width, height) that the teacher sees pictures at; NO_SIZE for the student's."""
    return tuple(data.get("teacher_size", NO_SIZE))  # a bundle of an earlier version has none


def training_size(data: Any, domain: str, network: str = "student") -> tuple[int, int]:
    """(width, height) of the training pictures of 'source' or 'target' as 'student' or 'teacher' sees them."""
    own = network == "teacher" and teacher_size(data) != NO_SIZE
    return teacher_size(data) if own else tuple(data[f"{domain}_size"])


def bit_depth(data: Any) -> int:
    """config.data.bit_depth."""
    return data.get("bit_depth", 0)  # a bundle of an earlier version has none
