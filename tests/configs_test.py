"""Every experiment file loads, passes the checks, names real stages, and opens with paper, cost and command."""

import ast
import importlib
import pathlib

import pytest

from configs import base, benchmark
from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import command_line, config_files
from dakd_jax.evaluation.predict import protocol
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings
from data_pipelines.domains import check_settings

FOLDER = pathlib.Path(base.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "base"))
# What configs/benchmark.py has under names of their own.
X = ("teacher", "student", "case_a", "case_b", "case_c", "case_d", "source_only", "target_supervised")
NAMED = {f"{pair}_{stage}": (pair, stage) for pair in ("bdd", "gta5") for stage in X}


def test_the_promised_experiments_exist():
    assert {*NAMED, "demo", "camvid_case_d"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", sorted(base.PRESETS))
def test_config_is_valid_and_documented(name, preset):
    config = importlib.import_module(f"configs.{name}").get_config(preset)
    settings.check(config)
    check_settings(config.data)
    protocol(config.eval.protocol)
    assert paradigms.plan(config.goal, config.student.init_from)
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    if name in NAMED:
        assert text.endswith("see configs/benchmark.py.")
        return
    assert "Paper:" in text and "Cost:" in text
    assert f"Command: python run.py --config=configs/{name}.py" in text


@pytest.mark.parametrize(("name", "pair", "stage"), [(name, *pair_stage) for name, pair_stage in NAMED.items()])
@pytest.mark.parametrize("more", ["", "released_code"])
def test_a_benchmark_by_its_name_and_by_its_preset(name, pair, stage, more):
    named = config_files.make(f"configs/{name}.py:{more}")
    assert (named.data.name, named.goal) == (pair, (stage,))
    assert (named.train.select == "last") == (more == "released_code")
    assert named.to_dict() == config_files.make(f"configs/benchmark.py:{pair},{stage},{more}").to_dict()


def test_a_preset_of_a_benchmark_may_leave_words_out():
    made = benchmark.get_config("released_code, gta5,gta5,")
    assert (made.data.name, made.goal, made.train.select) == ("gta5", ("case_d",), "last")
    assert benchmark.get_config().to_dict() == config_files.make("bdd_case_d").to_dict()


@pytest.mark.parametrize(
    ("preset", "problem"),
    [
        ("bdd,case_x", "'case_x' is unknown"),
        ("camvid", "'camvid' is unknown"),
        ("bdd,gta5,case_a", "bdd and gta5 exclude each other"),
        ("case_a,case_b", "case_a and case_b exclude each other"),
    ],
)
def test_a_wrong_preset_of_a_benchmark(preset, problem):
    with pytest.raises(UserError, match=f"'{preset}': {problem}; expected PAIR,STAGE.*gta5.*source_only") as caught:
        config_files.make(f"benchmark:{preset}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("configs/bdd_case_a.py:released_code", "bdd_case_a"),
        ("benchmark", "benchmark"),
        ("configs/benchmark.py:gta5,case_a", "benchmark_gta5_case_a"),
        ("benchmark:bdd, case_d,released_code", "benchmark_bdd_case_d_released_code"),
    ],
)
def test_pages_of_a_benchmark_have_a_name_each(given, name):
    """So that two of them in one workdir do not overwrite each other's."""
    assert config_files.name_of(given) == name
    assert command_line.parse([f"--config={given}"]).name == name


def test_released_code_preset_is_what_the_released_code_did():
    config = base.get_config("released_code")
    assert not config.optim.nesterov and config.optim.weight_decay == 5e-4
    assert config.optim.discriminator_learning_rate == 1e-4 and config.loss.kl_reduction == "off"
    assert config.teacher.statistics == "batch" and config.eval.protocol == "released"


def test_unknown_preset_is_a_clear_error():
    with pytest.raises(UserError, match="'nonsense'.*released_code"):
        base.get_config("nonsense")
