"""Networks that predict several classes, which those of a run of a few steps do not."""

import pytest
from lively_networks import lively_variables

from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights


@pytest.fixture(scope="session")
def lively(tmp_path_factory):
    """(path of weights, model, weights) of the smallest network."""
    model = Segmenter(arch="tiny", num_classes=19)
    variables = lively_variables(model)
    path = tmp_path_factory.mktemp("lively") / "lively.pth"
    weights.save(path, variables, model)
    return path, model, variables
