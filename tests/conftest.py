"""Shared paths and fixtures of the tests."""

import os
import pathlib

# The tests are small: two threads of XLA and TensorFlow are enough, and quiet logs keep failures readable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def golden_dir():
    """Folder of reference numbers computed with the released PyTorch code."""
    path = SHARED / "golden"
    if not path.is_dir():
        pytest.skip(f"no golden numbers at {path}")
    return path


@pytest.fixture(scope="session")
def camvid_dir():
    """Folder of the day-to-dusk benchmark in the BDD100K and Cityscapes layouts."""
    path = SHARED / "data" / "camvid_day_to_dusk"
    if not path.is_dir():
        pytest.skip(f"no CamVid day-to-dusk data at {path}")
    return path
