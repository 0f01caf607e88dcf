"""Every experiment file loads, passes the checks, names real stages, and opens with paper, cost and command."""

import ast
import importlib
import pathlib

import pytest

from configs import base
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation.predict import protocol
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings
from data_pipelines.domains import check_settings

FOLDER = pathlib.Path(base.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "base"))
X = ("teacher", "student", "case_a", "case_b", "case_c", "case_d", "source_only", "target_supervised")


def test_the_promised_experiments_exist():
    assert {f"{pair}_{x}" for pair in ("bdd", "gta5") for x in X} | {"demo", "camvid_case_d"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", sorted(base.PRESETS))
def test_config_is_valid_and_documented(name, preset):
    config = importlib.import_module(f"configs.{name}").get_config(preset)
    settings.check(config)
    check_settings(config.data)
    protocol(config.eval.protocol)
    assert paradigms.plan(config.goal, config.student.init_from)
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    assert "Paper:" in text and "Cost:" in text
    assert f"Command: python run.py --config=configs/{name}.py" in text


def test_released_code_preset_is_what_the_released_code_did():
    config = base.get_config("released_code")
    assert not config.optim.nesterov and config.optim.weight_decay == 5e-4
    assert config.optim.discriminator_learning_rate == 1e-4 and config.loss.kl_reduction == "off"
    assert config.teacher.statistics == "batch" and config.eval.protocol == "released"


def test_unknown_preset_is_a_clear_error():
    with pytest.raises(UserError, match="'nonsense'.*released_code"):
        base.get_config("nonsense")
