"""The notebooks: executed at tiny size, and what is committed of them."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import nbformat
import numpy as np
import PIL.Image
import pytest
import tiny_runs
from nbclient.exceptions import CellExecutionError

from dakd_jax import notebook as helpers
from dakd_jax.basics.errors import UserError
from dakd_jax.studies.kit.style import new_figure
from data_pipelines.reading.label_spaces import PALETTE
from notebooks import execute, install

FOLDER = tiny_runs.PROJECT / "notebooks"
NAMES = ("quickstart", "results_tour", "use_a_network", "your_own_city")
SETUP = 1  # place of the cell that finds the project, among the code cells
MOST_BYTES = 600_000
GOAL = ("source_only", "student", "case_b")


def _read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _texts(notebook):
    """Everything in a notebook that people read: sources, and outputs but their pictures."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", ()):
            yield output.get("text", "")
            yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def _pictures(notebook):
    return sum("image/png" in o.get("data", {}) for cell in _code(notebook) for o in cell.outputs)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Executes a notebook with other parameters in a checkout of its own."""
    project = tmp_path_factory.mktemp("checkout")
    for name in ("run.py", "configs", "dakd_jax", "data_pipelines"):
        (project / name).symlink_to(tiny_runs.PROJECT / name)
    (project / "notebooks").mkdir()

    def run(name, workdir, **parameters):
        (project / workdir).mkdir(parents=True, exist_ok=True)
        notebook = execute.with_parameters(_read(name), parameters)
        environment = tiny_runs.environment()
        del environment["PYTHONPATH"]  # the notebook has to find the project by itself
        execute.execute(notebook, project / "notebooks", environment)
        return notebook, project / workdir

    return run


TINY = tiny_runs.TINY | {"data.mirror": False, "data.batch_size": 2, "eval.batch_size": 2, "goal": GOAL}
TINY |= {"student.pretrained": "", "teacher.pretrained": ""}


@pytest.fixture(scope="module")
def quickstart(checkout):
    """(executed notebook, its workdir)."""
    return checkout("quickstart", "runs/quickstart", SETTINGS=TINY)


def test_quickstart_trains_to_case_b_and_shows_it(quickstart):
    notebook, workdir = quickstart
    for stage in ("source_only", "student", "teacher", "case_b"):
        assert helpers.newest_stage(workdir, stage)
    assert _pictures(notebook) == 4  # the cities, the grid, the curves, the network at work
    printed = "".join(_texts(notebook))
    assert "\x1b" not in printed  # no colours, no moving bars
    assert "Plan, in runs/quickstart" in printed and "Report: runs/quickstart/report_demo/index.html" in printed


def test_results_tour_shows_what_quickstart_left(quickstart, checkout):
    before = {path: path.stat().st_mtime_ns for path in quickstart[1].glob("stages/*/model.pth")}
    # Those at 1024x512 take long on one core.
    notebook, workdir = checkout("results_tour", "runs/quickstart", PROTOCOLS=("native", "mirror"))
    printed = "".join(_texts(notebook))
    for said in ("finished, reused", "chosen without target labels", "agreement", "protocol"):
        assert said in printed
    assert before == {path: path.stat().st_mtime_ns for path in workdir.glob("stages/*/model.pth")}
    assert _pictures(notebook) >= 7


def test_use_a_network_exports_what_quickstart_left_and_runs_it_there(quickstart, checkout):
    notebook, workdir = checkout("use_a_network", "runs/use_a_network")
    printed = "".join(_texts(notebook))
    assert [path.name for path in workdir.iterdir()] == ["street.onnx"]
    assert re.search(r"(100\.0|99\.9)\d\d% of these labels are the network's", printed)
    assert "of runs/quickstart/stages/case_b-" in printed  # the last stage of its goal
    assert "of the golden pair's labels agree" in printed and _pictures(notebook) == 3


def test_own_city_trains_on_the_folder_and_shows_before_and_after(checkout, toy_city, tmp_path):
    pictures = sorted((toy_city / "cityscapes" / "leftImg8bit" / "train").glob("*/*.png"))
    for i, path in enumerate(pictures[:5]):
        PIL.Image.open(path).resize((70 + i, 40)).save(tmp_path / f"frame{i}.jpg")
    settings = TINY | {"data.root": str(toy_city), "goal": ("source_only", "student")}
    notebook, workdir = checkout(
        "your_own_city", "runs/your_own_city", SETTINGS=settings, PICTURES=str(tmp_path), SHOWN=2
    )
    identity = helpers.records.read_json(helpers.newest_stage(workdir, "student") / "record.json")["config"]
    assert identity["data"]["target_dir"] == str(tmp_path)
    assert "consistency" in "".join(_texts(notebook)) and _pictures(notebook) == 1
    sizes = [PIL.Image.open(path).size for path in sorted((workdir / "maps").iterdir())]
    assert sizes == [(70 + i, 40) for i in range(5)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_was_executed_in_order_without_errors(name):
    cells = _code(_read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) - 2  # parameters and set-up are silent
    assert _pictures(_read(name)) and (FOLDER / f"{name}.ipynb").stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_names_no_machine(name):
    for text in _texts(_read(name)):
        found = re.search(r"(?<![\w.:/])(/(root|home|tmp|work|usr|opt|content|Users|mnt)\b|~/)\S*", text)
        assert not found, found
        assert not re.search(r"https?://(?!colab\.research\.google\.com|arxiv\.org)", text)
        assert os.uname().nodename not in text


@pytest.mark.parametrize("name", NAMES)
def test_all_begin_alike(name):
    notebook = _read(name)
    assert execute.parameters_cell(notebook) is _code(notebook)[0]
    assert re.match(r'REPOSITORY = ""', _code(notebook)[0].source)
    assert _code(notebook)[SETUP].source == _code(_read(NAMES[0]))[SETUP].source
    assert "https://colab.research.google.com/" in notebook.cells[0].source


def _set_up(folder, repository):
    """The set-up cell in a process of its own; prints the project that was found."""
    source = _code(_read("quickstart"))[SETUP].source
    code = f"REPOSITORY = {repository!r}\n{source}\nprint(project.resolve())"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_without_a_checkout_the_set_up_says_what_to_do(tmp_path):
    ended = _set_up(tmp_path, "")
    assert ended.returncode and "set REPOSITORY" in ended.stderr.splitlines()[-1]


def test_without_a_checkout_the_set_up_clones_the_repository(tmp_path):
    origin, folder = tmp_path / "origin", tmp_path / "content"
    folder.mkdir()
    origin.mkdir()
    (origin / "run.py").write_text("")
    git = ["git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    for _ in range(2):  # a second time it is found
        ended = _set_up(folder, origin.as_uri())
        assert ended.stdout.strip() == str((folder / "dakd_jax").resolve()), ended.stderr


def test_colab_gets_the_pins_but_for_what_it_holds_already():
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", (tiny_runs.PROJECT / "requirements.txt").read_text(), re.MULTILINE))
    assert set(install.COLABS_OWN + install.NOT_NEEDED) <= set(pins)
    on_cpu, on_gpu = install.requirements(gpu=False), install.requirements(gpu=True)
    assert set(on_cpu) == set(install.COLABS_OWN) | {
        f"{name}=={pin}" for name, pin in pins.items() if name not in install.COLABS_OWN + install.NOT_NEEDED
    }
    more = set(install.requirements(gpu=False, also=["onnx", "onnxruntime"])) - set(on_cpu)
    assert [pin.split("==")[0] for pin in sorted(more)] == ["onnx", "onnxruntime"]
    assert f"jax[cuda12]=={pins['jax']}" in on_gpu and f"jax=={pins['jax']}" not in on_gpu


def test_run_py_prints_the_command_and_raises_on_a_mistake(monkeypatch, capsys):
    monkeypatch.chdir(tiny_runs.PROJECT)
    helpers.run_py("--help", "--config.goal=('student', 'case_d')", "--workdir=$HOME's")
    printed = capsys.readouterr().out
    typed, said = printed.split("\n", 1)
    assert typed.startswith("$ python run.py --help \"--config.goal=('student', 'case_d')\" ")
    assert shlex.split(typed)[1:] == [
        "python",
        "run.py",
        "--help",
        "--config.goal=('student', 'case_d')",
        "--workdir=$HOME's",
    ]
    assert said.startswith("Domain adaptive knowledge distillation: python run.py --mode=")
    with pytest.raises(UserError, match="exit code 2"):
        helpers.run_py("--mode=nothing")
    assert "error: " in capsys.readouterr().out


def test_an_interrupted_cell_still_shows_how_run_py_saves_and_ends(tmp_path):
    """Jupyter interrupts the whole group of processes."""
    (tmp_path / "run.py").write_text(
        "import signal, sys, time\n"
        "def stop(*_):\n time.sleep(0.6)\n print('stopped at step 3', flush=True)\n"
        " open('saved', 'w').close()\n sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop)\nprint('at work', flush=True)\ntime.sleep(60)"
    )
    cell = "from dakd_jax import notebook\ntry:\n notebook.run_py()\nexcept KeyboardInterrupt:\n print('interrupted')"
    environment = os.environ | {"PYTHONPATH": str(tiny_runs.PROJECT)}
    process = subprocess.Popen(
        [sys.executable, "-c", cell],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if said[-1] == "at work":
            os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 0 and (tmp_path / "saved").exists()
    assert said[-3:] == ["at work", "stopped at step 3", "interrupted"]


def test_newest_stage_is_the_one_that_was_finished_last(tmp_path):
    with pytest.raises(UserError, match="no finished case_d"):
        helpers.newest_stage(tmp_path, "case_d")
    for age, name in enumerate(("case_d-22", "case_d-11", "case_c-33")):
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True)
        (folder / "model.pth").touch()
        os.utime(folder / "model.pth", (age, age))
    (tmp_path / "stages" / "case_d-44").mkdir()
    assert helpers.newest_stage(tmp_path, "case_d").name == "case_d-11"
    assert helpers.newest_stage(tmp_path).name == "case_c-33"
    with pytest.raises(UserError, match=r"record\.json"):
        helpers.config_of(tmp_path / "stages" / "case_c-33")


def test_pictures_become_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    figure, _ = new_figure(10, 5)
    for thing, size in ((noise, (760, 190)), (tmp_path / "noise.png", (760, 190)), (figure, (760, 380))):
        (tmp_path / "small.png").write_bytes(helpers.small_png(thing))
        small = PIL.Image.open(tmp_path / "small.png")
        assert small.size == size and small.mode == "P"
    assert PIL.Image.open(tmp_path / "noise.png").size == (1200, 300)


def test_classes_and_legends_keep_their_colours(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    flat = [*PALETTE, (0, 0, 0), (255, 255, 255)]  # some of them a few shades apart
    for i, colour in enumerate(flat):
        picture[:50, 19 * i : 19 * i + 12] = colour
    (tmp_path / "small.png").write_bytes(helpers.small_png(picture))
    small = np.asarray(PIL.Image.open(tmp_path / "small.png").convert("RGB")).astype(int)
    for i, colour in enumerate(flat):
        assert np.abs(small[:50, 19 * i : 19 * i + 12] - colour).max() <= 2
    assert np.abs(small - picture).mean() < 30
    (tmp_path / "small.png").write_bytes(helpers.small_png(picture[:12, :12]))  # of a single colour
    assert (np.asarray(PIL.Image.open(tmp_path / "small.png").convert("RGB")) == PALETTE[0]).all()


def test_tidy_takes_the_project_and_bars_out(tmp_path):
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"10 %\r20 %\rdone in {tmp_path}/runs\n"),
        nbformat.v4.new_output("stream", name="stdout", text="next\n"),
        nbformat.v4.new_output("execute_result", data={"text/plain": f"Path('{pathlib.Path.home()}/a')"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    execute.tidy(notebook, tmp_path)
    assert cell.outputs[0].text == "done in runs\nnext\n"
    assert cell.outputs[1].data["text/plain"] == "Path('~/a')" and len(cell.outputs) == 2


def test_a_failing_cell_and_an_unknown_parameter_are_errors(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("STEPS = 1", metadata={"tags": ["parameters"]})]
    )
    with pytest.raises(KeyError, match="WIDTH"):
        execute.with_parameters(notebook, {"WIDTH": 1})
    execute.with_parameters(notebook, {"STEPS": 2}).cells.append(
        nbformat.v4.new_code_cell("assert STEPS == 1, f'{STEPS} steps'")
    )
    with pytest.raises(CellExecutionError, match="2 steps"):
        execute.execute(notebook, tmp_path)
