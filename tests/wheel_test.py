"""What a wheel holds, and that it works outside the repository: the command, the configs, the jobs of a table."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
import tiny_runs

from dakd_jax import __version__

PROJECT = tiny_runs.PROJECT
TRAVELS = ("dakd_jax", "data_pipelines", "configs")
pytestmark = pytest.mark.long  # as the last file it would keep one worker waiting for the other
FILES = ("run.py", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built in a copy: a build leaves folders behind."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for folder in TRAVELS:
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*FILES, *(path.name for path in PROJECT.glob("requirements*.txt"))):
        shutil.copy(PROJECT / file, copy)
    stale = copy / "build" / "lib" / "dakd_jax"  # of an earlier build
    stale.mkdir(parents=True)
    (stale / "gone.py").write_text("")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    subprocess.run(build, cwd=copy, check=True, capture_output=True, text=True)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel's folder, as site-packages would hold it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def ended(installed, cwd, *words, program=("-m", "dakd_jax")):
    """A command in `cwd` that finds the wheel only."""
    environment = {**tiny_runs.environment(), "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-P", *program, *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_what_it_holds(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = f"dakd_jax-{__version__}.dist-info"
        metadata, script = (archive.read(f"{about}/{name}").decode() for name in ("METADATA", "entry_points.txt"))
    ours = {
        path.relative_to(PROJECT).as_posix()
        for folder in TRAVELS
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    below = {name if name.split("/")[0] != "configs" else f"dakd_jax/{name}" for name in ours}
    assert names == below | {"dakd_jax/run.py"}
    assert "dakd = dakd_jax.__main__:main" in script
    lines = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    needed = {line for line in lines if "extra" not in line}
    pins = (PROJECT / "requirements.txt").read_text().splitlines()
    assert needed == {line for line in pins if line and not line.startswith("#")}


def test_it_plans_the_demo_from_an_empty_folder(installed, tmp_path):
    small = [f"--config.data.toy.{field}" for field in ("num_train=2", "num_val=2", "size=64x48")]
    done = ended(installed, tmp_path, "plan", "--config=configs/demo.py", *small)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("to be trained") == 4 and (tmp_path / "data" / "toy_city").is_dir()


def test_the_words_of_the_command(installed, tmp_path):
    (tmp_path / "configs.py").write_text("raise RuntimeError")  # ours is meant, whatever lies here
    for words, code, told in (
        (["--help"], 0, "dakd MODE ... is python run.py --mode=MODE"),
        (["train", "--help"], 0, "Train and evaluate: python -m dakd_jax --config"),
        (["--version"], 0, f"dakd_jax {__version__}"),
        (["trian"], 2, "error: dakd trian: unknown; did you mean train?"),
        (["compare", "a"], 2, "wants the folders of two runs, 1 were given"),
        (["compare", "a", "b"], 2, "error: a holds no stages"),
        (["plan", "--config=nowhere/x.py"], 2, "error: --config=nowhere/x.py: no such file"),
        (["plan", "--config=configs/gta5_case_a.py:released_code"], 2, "error: gta5: no folder data/gta5"),
        (["plan", "--config=benchmark:bdd,case_d"], 2, "error: bdd100k: no folder data/bdd100k"),
        (["--mode=fly"], 2, "--mode=fly"),
        (["doctor", "--help"], 0, "Audits a dataset"),
        (["prepare", "--size=8x8"], 2, "error: command line: flag --dataset"),
    ):
        done = ended(installed, tmp_path, *words)
        text = done.stdout if code == 0 else done.stderr
        assert done.returncode == code and told in text, (words, done)
        assert code == 0 or len(text.splitlines()) == 1


def test_a_job_of_a_table_finds_the_wheel_and_none_of_its_general_names(installed, tmp_path):
    code = (
        "from dakd_jax.basics import installation; import subprocess, sys;"
        "sys.exit(subprocess.call([*installation.child_command(installation.PROGRAM), '--job=nowhere']))"
    )
    done = ended(installed, tmp_path, program=("-c", code))
    assert done.returncode == 2 and "--job=nowhere is no job of a table" in done.stderr, done
    probe = tmp_path / "probe.py"  # a program beside modules of general names, as run.py is in the wheel
    probe.write_text("import metrics")
    (tmp_path / "metrics.py").write_text("")
    code = code.replace("installation.PROGRAM), '--job=nowhere'", f"{str(probe)!r})")
    assert "No module named 'metrics'" in ended(installed, tmp_path, program=("-c", code)).stderr


def test_run_py_works_from_any_folder(tmp_path):
    environment = {name: value for name, value in tiny_runs.environment().items() if name != "PYTHONPATH"}
    small = [f"--config.data.toy.{field}" for field in ("num_train=2", "num_val=2", "size=64x48")]
    program = os.path.relpath(PROJECT / "run.py", tmp_path)
    done = subprocess.run(
        [sys.executable, program, "--mode=plan", "--config=configs/demo.py", *small, "--workdir=here"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Plan, in here" in done.stdout and (tmp_path / "data" / "toy_city").is_dir()
