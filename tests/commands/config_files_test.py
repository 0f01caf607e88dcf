"""The file behind --config: found here or in the project, or wrong in one line; and what is written for its fields."""

import re

import pytest

from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import command_line, config_files

START = "from configs import base\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments, *parts):
    with pytest.raises(UserError) as caught:
        command_line.parse(arguments)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert re.search(part, str(caught.value)), (part, str(caught.value))


@pytest.mark.parametrize("given", ["configs/demo.py", "configs/demo", "demo.py", "demo", "./configs/demo.py"])
def test_a_config_that_is_absent_here_is_sought_in_the_project(here, given):
    (here / "demo").mkdir()  # no config
    parsed = command_line.parse([f"--config={given}:released_code"])
    assert (parsed.name, parsed.config.data.name, parsed.config.train.select) == ("demo", "toy", "last")


@pytest.mark.parametrize("given", ["configs/demo.py", "configs/demo", "mine", "mine.py"])
def test_a_config_that_is_here_comes_first(here, given):
    (here / "configs").mkdir()
    text = f"{START}def get_config():\n    config = base.get_config()\n    config.seed = 7\n    return config\n"
    for name in ("configs/demo.py", "mine.py"):
        (here / name).write_text(text)
    assert command_line.parse([f"--config={given}"]).config.seed == 7


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no function get_config"),
        ("config = 3", "there is no function get_config"),
        ("get_config = 3", "get_config is no function"),
        ("def get_config(:", "line 1: invalid syntax"),
        ("x = 1\n  y = 2", "line 2: unexpected indent"),
        ("\0", "null bytes"),
        ("x = 1\nimport nothing_like_it", "line 2: ModuleNotFoundError.*nothing_like_it"),
        ("from configs import nothing_like_it", "line 1: ImportError.*nothing_like_it"),
        (f"{START}def get_config(p=''):\n    base.get_config(p)", "returns nothing .*return config"),
        ("def get_config(p=''):\n    return {}", "returns no ConfigDict"),
        ("def get_config(p=''):\n    return get_config(p)", "line 2: RecursionError"),
        ("def get_config(a, b):\n    return 1", "TypeError: get_config.. missing 2"),
        ("raise SystemExit('bye')", "line 1: SystemExit: bye"),
        ("raise ValueError('two\\nlines')", "line 1: ValueError: two lines"),
        (
            "from ml_collections import ConfigDict\ndef get_config(p=''):\n    return ConfigDict({'seed': 1})",
            "the config lacks data.* and \\d+ more",
        ),
        (
            f"{START}def get_config(p=''):\n    c = base.get_config(p)\n    c.data.traget_size = (8, 8)\n    return c",
            "config.data.traget_size is unknown: did you mean config.data.target_size",
        ),
        (
            f"{START}def get_config(p=''):\n    c = base.get_config(p)\n    c.losses = dict(kl=9.0)\n    return c",
            "config.losses.* is unknown: did you mean config.loss",
        ),
        (
            f"{START}def get_config(p=''):\n    c = base.get_config(p)\n    c.lr = 3.0\n    return c",
            "config.lr is unknown",
        ),
        (
            f"{START}def get_config(p=''):\n    c = base.get_config(p)\n    c.trian.steps = 3\n    return c",
            "line 4: AttributeError.*trian",
        ),
    ],
)
def test_a_wrong_config_is_one_line_that_names_it(here, text, told):
    (here / "mine.py").write_text(text)
    refused(["--config=mine.py"], "--config=mine.py: ", told, "start from configs/base.py")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--config="], "names no file"),
        (["--config= "], "names no file"),
        (["--config=:released_code"], "names no file"),
        (["--config"], "--config has no value"),
        (["--config", "--mode=plan"], "--config has no value: '--mode=plan' follows it"),
        (["--config=."], "is a folder"),
        (["--config=dmeo"], "no such file; did you mean demo"),
        (["--config=dmeo.py"], "no such file; did you mean demo"),
        (["--config=" + "a" * 5000], "no such file"),
        (["--", "--config=demo"], "unexpected argument '--config=demo'"),
        (["--flagfile=nowhere"], "nowhere"),
        (["--rows", "--config"], "--rows"),
        (["--workdir", "--config=demo"], "--workdir has no value: '--config=demo' follows it"),
        (["--full"], "--full goes with --mode=compare"),
    ],
    ids=str,
)
def test_mistakes_in_naming_it(here, arguments, told):
    refused(arguments, told)


def test_what_is_no_python(here):
    (here / "record.json").write_text('{"a": 1}')
    (here / "mine.yaml").write_text("a: [1\nb")
    refused(["--config=record.json"], "no function get_config")
    refused(["--config=mine.yaml"], "a config is a Python file")


def test_a_preset_for_a_function_that_takes_none(here):
    (here / "mine.py").write_text(f"{START}def get_config():\n    return base.get_config()")
    assert command_line.parse(["--config=mine.py"]).name == "mine"
    refused(["--config=mine.py:fast"], "takes 0 positional arguments")


def test_a_frozen_config_takes_overrides(here):
    frozen = "from ml_collections import FrozenConfigDict as F\nget_config = lambda: F(base.get_config())"
    (here / "mine.py").write_text(START + frozen)
    assert command_line.parse(["--config=mine.py", "--config.seed=3"]).config.seed == 3


def test_the_order_of_words_does_not_matter():
    parsed = command_line.parse(["--config.seed=3", "--config", "bdd_case_a", "--config=gta5_case_a"])
    assert parsed.name == "gta5_case_a" and parsed.config.seed == 3


@pytest.mark.parametrize(
    ("field", "near"),
    [
        ("trian.steps", "train.steps"),
        ("data.toy.sise", "data.toy.size"),
        ("dta.target_size", "data.target_size"),
        ("optim.learning-rate", "optim.learning_rate"),
        ("Train.steps", "train.steps"),
        ("train.steps.x", "train.steps"),
    ],
)
@pytest.mark.parametrize("form", ["--config.{}=3", "-config.{}=3", "--noconfig.{}", "--config.{}"])
def test_a_misspelt_group_or_field(field, near, form):
    refused([form.format(field)], f"--config.{field} is unknown: did you mean --config.{near}")


@pytest.mark.parametrize(
    "text",
    ["64x48", "64X48", " 64 x 48", "64×48", "64,48", "64, 48", "(64,48)", "(64, 48)", "[64,48]", "64 48", "(64x48)"],
)
@pytest.mark.parametrize("field", ["data.source_size", "data.target_size", "data.crop", "data.toy.size"])
def test_sizes_as_people_write_them(field, text):
    assert config_files.flat(command_line.parse([f"--config.{field}={text}"]).config)[field] == (64, 48)
    assert config_files.flat(command_line.parse([f"--config.{field}", text]).config)[field] == (64, 48)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--config.data.target_size=64,48", "--config.data.target_size=32x32"], (32, 32)),
        (["--config.data.target_size=64", "--config.data.target_size=48"], (64, 48)),
        (["--config.goal=case_a", "--config.goal=case_b"], ("case_a", "case_b")),
        (["--config.goal=case_a,case_b"], ("case_a", "case_b")),
        (["--config.goal=(case_a, case_b)"], ("case_a", "case_b")),
        (["--config.goal=('case_a', 'case_b')", "--config.goal=case_c"], ("case_a", "case_b", "case_c")),
        (["--config.data.scale=0.5, 2"], (0.5, 2)),
        (["--config.figures.pictures=a b.png,c.png"], ("a b.png", "c.png")),
    ],
    ids=str,
)
def test_tuples_as_people_write_them(words, value):
    field = words[0].removeprefix("--config.").split("=")[0]
    assert config_files.flat(command_line.parse(words).config)[field] == value


@pytest.mark.parametrize("text", ["axb", "", "64;48", "64x", "64x48x3", "(64", "{64: 48}"])
def test_what_is_no_size(text):
    refused([f"--config.data.target_size={text}"], "config.data.target_size=.*expected numbers, as .*=256,128")
