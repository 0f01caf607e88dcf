"""Commands as plugs: one file each, a user's own too; found, listed and refused without jax."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import step_parts
import tiny_runs
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, GROUPS, Command, Flag, Program, listed, replay
from dakd_jax.commands.kit import command_line, config_files
from dakd_jax.studies.paper_tables.jobs import jobs
from dakd_jax.training.watch import black_box
from data_pipelines.feeding.feed import Feed

HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets", "matplotlib", "scipy"}
FOLDER = tiny_runs.PROJECT / "dakd_jax" / "commands"

COUNTS = '''
"""Counts the steps of a plan: python run.py --mode=counts --config.plugins=counts.py [--times=N]

A page of its own.
"""
from dakd_jax.commands import COMMANDS, Command, Flag
from dakd_jax.basics.errors import UserError


def check(invocation):
    if invocation.flags["only"] and invocation.flags["times"] == 1:
        raise UserError("--only goes with --times")


def run(context):
    from dakd_jax.stages.experiment import Experiment

    experiment = Experiment(context.config, context.feed, context.workdir, context.console)
    steps = sum(context.config.train.steps for planned in experiment.plan.values())
    (unit,), only = context.words, context.flags["only"]
    context.console.print(f"{context.flags['times'] * steps} {unit} of {', '.join(experiment.plan)} {only}")
    context.console.print(f"{context.name} {context.mode} {sorted(context.given)[:2]}; {context.typed}", soft_wrap=True)
    return 7


FLAGS = (Flag("times", 1, "multiplies them", minimum=1), Flag("only", (), "words"))
COMMANDS.register(
    "counts",
    Command(__doc__, run, "count", flags=FLAGS, words="a unit", num_words=1, fields=("train.steps",), check=check),
)
'''


@pytest.fixture
def counts(tmp_path):
    """A plugin's file."""
    file = tmp_path / "counts.py"
    file.write_text(COUNTS)
    return file


def plugin(run_py, file, *words, config="configs/base.py"):
    return run_py([f"--config={config}", f"--config.plugins={file}", *words], fork=True)


# A command from this file alone


def test_a_command_of_one_s_own_gets_the_context(run_py, toy_city, counts, tmp_path):
    given = tiny_runs.arguments(toy_city, tmp_path / "w", goal="student", plugins=counts)
    ended = run_py([*given, "--mode=counts", "--times=3", "steps", "--only=a,b"], fork=True)
    assert (ended.code, ended.stderr) == (7, "")
    count, told = ended.stdout.splitlines()[-2:]
    assert count == f"{3 * tiny_runs.STEPS} steps of student ('a', 'b')"
    assert told.startswith("base counts ['data.loader', 'data.name']; python run.py --config=configs/base.py --workdir")
    assert told.endswith("--mode=counts --times=3 steps --only=a,b")


def test_the_config_file_may_name_it(run_py, counts, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from configs import base\n"
        f"def get_config():\n    c = base.get_config()\n    c.plugins = ({str(counts)!r},)\n    return c\n"
    )
    ended = run_py([f"--config={tmp_path / 'mine.py'}", "--mode=counts"], fork=True)
    tiny_runs.one_line(ended, "--mode=counts wants a unit, 0 were given")
    ended = run_py([f"--config={tmp_path / 'mine.py'}", "--mode=counts", "--config.plugins="], fork=True)
    tiny_runs.one_line(ended, "--mode=counts: value should be one of <train")


def test_its_help(run_py, counts):
    ended = plugin(run_py, counts, "--help")
    assert ended.code == 0 and "  count\n    counts       Counts the steps of a plan\n" in ended.stdout
    for words in (["--mode=counts", "--help"], ["--help", "--mode", "counts"]):
        page = plugin(run_py, counts, *words).stdout
        assert "A page of its own." in page and "--times=1" in page and "multiplies them" in page
        assert "--config.train.steps=50000   of every student" in page and "Prints the plan and stops" not in page
    assert "counts" not in run_py(["--help"], fork=True).stdout
    ended = plugin(run_py, "nowhere.py", "--help")
    assert ended.code == 0 and "config.plugins: there is no file nowhere.py" in ended.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mode=counts", "steps", "--only=a"], "--only goes with --times"),
        (["--mode=counts", "steps", "--times=0"], "--times=0"),
        (["--mode=counts", "steps", "--times=x"], "--times=x"),
        (["--mode=counts", "steps", "--full"], "--full goes with --mode=compare, not counts"),
        (["--mode=counts", "steps", "--seeds=0,1"], "--seeds goes with --mode=train, not counts; set --config.seed"),
        (["--mode=train", "--times=2"], "--times goes with --mode=counts, not train"),
        (["--mode=counts", "a", "b"], "wants a unit, 2 were given"),
        (["--mode=count"], "--mode=count: value should be one of <train"),
    ],
    ids=str,
)
def test_its_mistakes(run_py, counts, words, told):
    tiny_runs.one_line(plugin(run_py, counts, *words), re.escape(told))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"counts",\n', '"train",\n', r"line 27: command 'train' is registered by .*\.train"),
        ('"counts",\n', '"doctor",\n', "command 'doctor' is registered by dakd_jax.commands"),
        ("Command(__doc__, run", "Command(None, run", "a command has no help"),
        ("Command(__doc__, run", "Command(__doc__, 3", "run is 3; expected a function"),
        ("flags=FLAGS", "flags=FLAGS[0]", "expected a tuple of Flag"),
        ("flags=FLAGS", "flags=FLAGS + FLAGS", "has the flag --(only|times) twice"),
        ('Flag("times"', 'Flag("workdir"', "a flag --workdir, which every command has"),
        ('Flag("times"', 'Flag("job"', "a flag --job, which stands for --mode=job"),
        ('Flag("times"', 'Flag("--times"', "'--times': its name is of letters"),
        ('Flag("times", 1', 'Flag("times", None', "its default is None"),
        ("Command(__doc__", "dict(", "SyntaxError|dict"),
        ("import COMMANDS", "import COMMAND, COMMANDS", "line 6: ImportError"),
    ],
    ids=str,
)
def test_a_plugin_that_registers_wrongly_is_one_line(run_py, counts, old, new, told):
    assert old in COUNTS
    counts.write_text(COUNTS.replace(old, new, 1))
    tiny_runs.one_line(plugin(run_py, counts, "--mode=plan"), "counts.py|--job", told)


def test_what_a_command_returns_and_reads(run_py, counts):
    counts.write_text(COUNTS.replace("def run(context):\n", "def run(context):\n    return 'done'\n"))
    ended = plugin(run_py, counts, "--mode=counts", "x")
    tiny_runs.one_line(ended, "--mode=counts returned 'done'; expected an exit code")
    counts.write_text(COUNTS.replace('"words")', '"words", read=lambda words: [int(word) for word in words])'))
    ended = plugin(run_py, counts, "--mode=counts", "x", "--times=2", "--only=1,b")
    tiny_runs.one_line(ended, "--only=1,b: invalid literal for int")


def test_the_example_of_the_docs(run_py, toy_city, chain, tmp_path):
    text = (tiny_runs.PROJECT / "docs" / "EXTENDING.md").read_text()
    example = re.search(r"```python\n(.*?)```", text[text.index("\n## A command\n") :], re.DOTALL)[1]
    file = tmp_path / "disk_space.py"
    file.write_text(example)
    given = tiny_runs.arguments(toy_city, chain[0], goal="source_only", plugins=file)
    ended = run_py([*given, "--mode=disk_space"], fork=True)
    folder = tiny_runs.stage_folder(chain[0], "source_only")
    num_files = sum(path.is_file() for path in folder.rglob("*"))
    assert (ended.code, ended.stderr) == (0, "")
    assert re.fullmatch(rf"source_only: {num_files} files, 0\.\d\d MB", ended.stdout.splitlines()[-1])
    ended = run_py([*given, "--mode=disk_space", "--least=1000"], fork=True)
    assert ended.code == 0 and " MB" not in ended.stdout and "Plan, in" in ended.stdout
    assert "Lists what the stages of a plan take on the disk" in plugin(run_py, file, "--help").stdout


# Without jax


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--help"], 0, "hand in"),
        (["train", "--help"], 0, "--seeds="),
        (["compare", "--help"], 0, "--[no]full"),
        (["replay", "--help"], 0, "blackbox"),
        (["plan", "--full"], 2, "--full goes with --mode=compare"),
        (["plan", "--speed=3"], 2, "(all flags: --mode=plan --help)"),
        (["--mode=fly"], 2, "value should be one of"),
        (["fly"], 2, "dakd fly: unknown"),
        (["plan", "--config=configs/base.py", "--jobs=0", "--config.seed", "3"], 2, "--jobs=0"),
        (["plan", "--config=bdd_case_a", "a"], 2, "unexpected argument 'a'"),
        (["plan", "--config.plugins=nowhere.py"], 2, "there is no file nowhere.py"),
        (["fly", "--config.plugins=json"], 2, "dakd fly: unknown"),
        (["--replay="], 2, "--replay has no value: expected a blackbox-* folder"),
        (["compare", "a"], 2, "wants the folders of two runs"),
        (["--version"], 0, "dakd_jax "),
    ],
    ids=str,
)
def test_help_and_mistakes_import_nothing_heavy(words, code, told):
    text = f"import sys, run\ncode = run.dakd({words!r})\nprint('modules', *{{m.split('.')[0] for m in sys.modules}})\n"
    ended = subprocess.run(
        [sys.executable, "-c", f"{text}sys.exit(code)"],
        cwd=tiny_runs.PROJECT, env=tiny_runs.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == code and told in ended.stdout + ended.stderr, ended
    assert not HEAVY & set(ended.stdout.splitlines()[-1].split())


# What is listed


def test_every_file_of_the_folder_is_a_command_and_listed_once():
    files = {file.stem for file in FOLDER.glob("*.py")} - {"__init__"}
    assert files - {"table"} == {name for name, one in COMMANDS.items() if isinstance(one, Command)} - {"job"}
    text = subprocess.run(
        [sys.executable, "-m", "dakd_jax", "--help"], cwd=tiny_runs.PROJECT, env=tiny_runs.environment(),
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines = text[text.index("\n  train and plan\n") :].splitlines()
    found = {line.split()[0] for line in lines if re.match(r"    \w", line)}
    assert found == files - {"table"} | {"doctor", "prepare"}
    assert [line.strip() for line in lines if re.match(r"  \w", line) and line.strip() in GROUPS] == list(GROUPS)


@pytest.mark.parametrize("file", sorted((tiny_runs.PROJECT / "configs").glob("[!_]*.py")), ids=lambda file: file.stem)
def test_no_config_of_this_project_names_plugins(file):
    """Mistakes in flags are told before such a file is executed."""
    assert config_files.is_ours(file) and config_files.make(str(file)).plugins == ()


def test_fields_that_are_shown_exist():
    config = config_files.make("base")
    for name, command in COMMANDS.items():
        for field in getattr(command, "fields", ()):
            assert field in config_files.flat(config), (name, field)


def test_programs_of_data_pipelines_are_found_by_their_main():
    import run  # registers them

    assert run.COMMANDS is COMMANDS
    programs = {name: one for name, one in COMMANDS.items() if isinstance(one, Program)}
    assert set(programs) == {"doctor", "prepare"} == set(listed()["data"])
    assert programs["doctor"].about == "Audits a dataset before step 0"


@pytest.mark.parametrize("words", [["--mode=doctor"], ["--mode", "doctor"]])
def test_run_py_hands_over_to_them(run_py, words, tmp_path):
    ended = run_py([*words, "--dataset=gta5", f"--source={tmp_path / 'nowhere'}"], fork=True)
    tiny_runs.one_line(ended, "nowhere")


@pytest.mark.parametrize(
    "words", [["--replay=x"], ["--replay", "x"], ["--mode=replay", "x"], ["--mode=plan", "--replay=x"]], ids=str
)
def test_replay_by_flag_and_by_word(words):
    parsed = command_line.parse(words)
    assert (parsed.mode, parsed.words) == ("replay", ("x",))


def test_flags_may_come_after_words():
    parsed = command_line.parse(["--mode=compare", "a", "--full", "b"])
    assert parsed.words == ("a", "b") and parsed.flags == {"full": True}
    assert Flag("x", 1, "").default == 1


# Plugins in the processes that a run starts


def marking(tmp_path):
    """(a plugin, the file that it makes when it is loaded)."""
    marker, file = tmp_path / "loaded", tmp_path / "marks.py"
    file.write_text(f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n")
    return file, marker


def test_a_job_loads_the_plugins_of_its_config(tmp_path, toy_city):
    file, marker = marking(tmp_path)
    chosen = tiny_runs.config(toy_city, goal=("student",), plugins=(str(file),))
    told = {"title": "t", "stage": "student", "hash": "0" * 64, "workdir": str(tmp_path), "config": chosen.to_dict()}
    (tmp_path / "job.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match="t: its data or parents have changed"):
        jobs.do(tmp_path / "job.json", Feed, Console())
    assert marker.exists()


def test_a_replay_loads_those_of_the_bundle_or_those_that_are_given(tmp_path):
    file, marker = marking(tmp_path)
    chosen = tiny_runs.config("nowhere", goal=("student",), plugins=("gone.py",))
    about = {"step": 1, "stage": "student", "config": chosen.to_dict(), "num_classes": 5}
    bundle = pathlib.Path(tmp_path / "blackbox-1")
    black_box.save(bundle, about, step_parts.rates(np.float32(1e-3), np.float32(1e-3)), {"a": np.zeros(1)}, {}, None)
    with pytest.raises(UserError, match="config.plugins: there is no file gone.py"):
        replay.replay(str(bundle), Console())
    with pytest.raises(UserError, match="does not fit its own settings"):
        replay.replay(str(bundle), Console(), (str(file),))
    assert marker.exists()
