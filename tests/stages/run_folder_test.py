"""What lies in a run's folder is what its records say, or it is told; two runs are compared; one at a time."""

import functools
import hashlib
import io
import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics import kept_arrays, records, workdir_lock
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import metrics
from dakd_jax.stages import run_folder


@pytest.fixture
def copied(chain, tmp_path):
    """A copy of the chain's stages that may be damaged."""
    shutil.copytree(chain[0] / "stages", tmp_path / "run" / "stages")
    return tmp_path / "run"


def told(function, *arguments):
    """(answer, text on the console)."""
    console = Console(file=io.StringIO(), width=300)
    return function(*arguments, console), console.file.getvalue()


def test_a_run_is_as_recorded(chain):
    sound, text = told(run_folder.verify, chain[0])
    stages, answers = text.splitlines()[:8], text.splitlines()[8:]
    assert sound and all("as recorded (finished)" in line for line in stages)
    assert [line.split("-")[0] for line in answers] == ["answers/source", "answers/target"]
    sound, text = told(run_folder.verify, tiny_runs.stage_folder(chain[0], "case_b"))
    assert sound and len(text.splitlines()) == 1


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_of(path, **changes):
    """Makes kept arrays those of something else."""
    of, arrays = kept_arrays.read(path)
    kept_arrays.Kept(path, of | changes).write(arrays)


CONFUSION = np.eye(3, dtype=np.int64)


def earlier(folder, **changes):
    """An evaluation as earlier releases kept it."""
    np.savez_compressed(folder / "evaluation-old-0.npz", confusion=CONFUSION)
    told = {
        "protocol": "old",
        "hash": json.loads((folder / "record.json").read_text())["hash"],
        "npz": hashlib.sha256((folder / "evaluation-old-0.npz").read_bytes()).hexdigest(),
        "scores": metrics.scores(CONFUSION).as_dict(),
    }
    (folder / "evaluation-old-0.json").write_text(json.dumps(told | changes))


def matrix_of(folder, **changes):
    """Counts of --mode=protocols."""
    of = {"network": json.loads((folder / "record.json").read_text())["hash"], "protocols": {"mirror": {}}}
    kept_arrays.Kept(folder / "protocols-0.npz", of).write({"confusion/mirror": CONFUSION})
    told = {"hash": of["network"], "scores": {"mirror": metrics.scores(CONFUSION).as_dict()}}
    (folder / "protocols-0.json").write_text(json.dumps(told | changes))


def one(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def swap_weights(folder):
    shutil.copy(tiny_runs.stage_folder(folder.parents[1], "case_a") / "model.pth", folder / "model.pth")


def safe_of_another(folder):
    other = tiny_runs.stage_folder(folder.parents[1], "case_a") / "model.safetensors"
    shutil.copy(other, folder / "model.safetensors")


ROWS = '{{"step": {}, "kind": "train"}}\n{{"step": {}, "kind": "train"}}\n'
DAMAGES = {
    "model.pth does not hold the recorded weights": swap_weights,
    r"model.pth cannot be read": lambda folder: (folder / "model.pth").write_bytes(b"x"),
    "model.safetensors does not hold the recorded weights": safe_of_another,
    r"model.safetensors cannot be read": lambda folder: (folder / "model.safetensors").unlink(),
    "the hash is not that of the recorded identity": lambda folder: edit(
        folder / "record.json", lambda record: record["identity"].update(seed=5)
    ),
    "the folder is named after another hash": lambda folder: edit(
        folder / "record.json", lambda record: record.update(hash="0" * 64)
    ),
    "its parent teacher-.* is not here": lambda folder: shutil.rmtree(
        tiny_runs.stage_folder(folder.parents[1], "teacher")
    ),
    "record.json cannot be read": lambda folder: (folder / "record.json").write_text("{"),
    "metrics.jsonl: line 3 is no row": lambda folder: (folder / "metrics.jsonl").write_text(
        ROWS.format(1, 2) + '{"ste'
    ),
    "metrics.jsonl: line 2 goes back to step 1": lambda folder: (folder / "metrics.jsonl").write_text(
        ROWS.format(2, 1) + ROWS.format(6, 6)
    ),
    "metrics.jsonl ends at step 5 of 6": lambda folder: (folder / "metrics.jsonl").write_text(ROWS.format(5, 5)),
    "evaluation-native-.*npz is damaged": lambda folder: cut(one(folder, "evaluation-*.npz")),
    "evaluation-native-.*npz is of another stage": lambda folder: shutil.copy(
        one(tiny_runs.stage_folder(folder.parents[1], "case_a"), "evaluation-*.npz"), one(folder, "evaluation-*.npz")
    ),
    "evaluation-native-.*npz is not the evaluation that .*json is of": lambda folder: edit_of(
        one(folder, "evaluation-*.npz"), numerics=0
    ),
    "evaluation-old-0.npz has changed": lambda folder: earlier(folder, npz="0" * 64),
    "evaluation-old-0.json does not hold the scores": lambda folder: earlier(folder, scores={}),
    "evaluation-native-.*json does not hold the scores": lambda folder: edit(
        one(folder, "evaluation-*.json"), lambda told: told["scores"].update(miou=0.9)
    ),
    "evaluation-native-.*json is not whole": lambda folder: one(folder, "evaluation-*.npz").unlink(),
    r"evaluation-native-\w*.json is not whole": lambda folder: one(folder, "evaluation-*.json").unlink(),
    r"checkpoint 6: the bytes of state/.*manifest.ocdbt have changed": lambda folder: flip(
        folder / "checkpoints" / "6" / "state" / "manifest.ocdbt"
    ),
    "checkpoint 4: about.json is missing": lambda folder: (folder / "checkpoints" / "4" / "about.json").unlink(),
    "protocols-0.npz is damaged": lambda folder: (folder / "protocols-0.npz").write_bytes(b"PK"),
    "protocols-0.npz is of another stage": lambda folder: kept_arrays.Kept(
        folder / "protocols-0.npz", {"network": "0" * 64, "protocols": {}}
    ).write({}),
    "protocols-0.json is not whole": lambda folder: kept_arrays.Kept(
        folder / "protocols-0.npz", {"network": folder.name, "protocols": {}}
    ).write({}),
    "protocols-0.json does not hold the scores of its confusion matrix under mirror": lambda folder: matrix_of(
        folder, scores={}
    ),
}


@pytest.mark.parametrize("problem", DAMAGES)
def test_what_is_not_as_recorded_is_told(copied, problem):
    folder = tiny_runs.stage_folder(copied, "case_b")
    DAMAGES[problem](folder)
    sound, text = told(run_folder.verify, copied)
    (line,) = [line for line in text.splitlines() if line.startswith(folder.name)]
    assert not sound and re.search(problem, line), text


def test_files_of_earlier_releases_and_of_an_unfinished_pass_are_no_fault(copied):
    folder = tiny_runs.stage_folder(copied, "case_b")
    earlier(folder)
    matrix_of(folder)
    (folder / "unfinished-protocols-0.npz").write_bytes(b"PK")
    sound, text = told(run_folder.verify, copied)
    assert sound, text


def test_nothing_to_verify(tmp_path):
    with pytest.raises(UserError, match="holds no stages"):
        told(run_folder.verify, tmp_path)


def test_compare_lists_what_differs(chain, copied):
    same, text = told(run_folder.compare, chain[0], copied)
    assert same and text.count("no difference") == 8
    folder = tiny_runs.stage_folder(copied, "teacher")
    edit(folder / "record.json", lambda record: record["versions"].update(jax="9.9"))
    edit(one(folder, "evaluation-*.json"), lambda told: told["scores"].update(miou=0.5))
    shutil.rmtree(tiny_runs.stage_folder(copied, "case_a"))
    same, text = told(run_folder.compare, chain[0], copied)
    assert not same and text.count("no difference") == 6
    assert "versions.jax" in text and "9.9" in text and "scores under native.miou" in text and "absent" in text


def test_compare_tells_stages_of_one_name_by_their_seeds_and_folders(tmp_path):
    def run(name, *stages):
        for folder, seed in stages:
            (tmp_path / name / "stages" / folder).mkdir(parents=True)
            records.write_json(tmp_path / name / "stages" / folder / "record.json", {"config": {"seed": seed}})
        return tmp_path / name

    both, first = run("both", ("case_a-00", 0), ("case_a-11", 1)), run("a", ("case_a-00", 0))
    same, text = told(run_folder.compare, both, first)
    assert not same and "case_a, seed 0: no difference" in text and f"absent in {first}: case_a, seed 1" in text
    second = run("b", ("case_a-11", 1))
    same, text = told(run_folder.compare, both, second)
    assert not same and "case_a, seed 1: no difference" in text and f"absent in {second}: case_a, seed 0" in text
    changed = run("c", ("case_a-00", 0), ("case_a-22", 0))
    same, text = told(run_folder.compare, changed, first)
    assert not same and f"absent in {first}: case_a-22" in text


def test_compare_of_unrelated_runs_is_one_screen(chain, copied):
    for folder in sorted((copied / "stages").iterdir()):
        edit(folder / "record.json", change_all)
        for evaluation in folder.glob("evaluation-*.json"):
            edit(evaluation, lambda told: told["scores"].update(dict.fromkeys(told["scores"], 0.5)))
    shutil.rmtree(tiny_runs.stage_folder(copied, "case_a"))
    console = Console(file=io.StringIO(), width=80)
    assert not run_folder.compare(chain[0], copied, console)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 24 and max(map(len, lines[1:-1])) <= 80  # the first names a path, the last all counts
    text = "\n".join(lines)
    assert f"absent in {copied}: case_a" in text
    (row,) = [line for line in lines if "config.optim.decay_steps" in line]
    assert row.split() == ["config.optim.decay_steps", "0", "7", "all"]
    assert ".miou" in text and "versions.jax" in text
    assert re.search(r"\d+ differences in 7 stages \(.*\d+ scores.*\); --full lists all", lines[-1])
    same, text = told(functools.partial(run_folder.compare, full=True), chain[0], copied)
    assert not same and text.count("config.optim.learning_rate") == 7 and "hardware.cores" in text
    assert f"absent in {copied}: case_a" in text and len(text.splitlines()) > 100


def change_all(record):
    """As if of another experiment."""
    for name in record["config"]["optim"]:
        record["config"]["optim"][name] = 7
    for name in record["config"]["loss"]:
        record["config"]["loss"][name] = "else"
    record["versions"].update(jax="9.9")
    record["hardware"].update(cores=99)
    record["data_fingerprint"] = record["hash"] = "0" * 64


def test_compare_of_runs_without_a_common_stage(chain, tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder, stage in zip(folders, ("teacher", "case_b"), strict=True):
        shutil.copytree(tiny_runs.stage_folder(chain[0], stage), folder / "stages" / f"{stage}-0")
    same, text = told(run_folder.compare, *folders)
    assert not same
    assert text.splitlines() == [f"absent in {folders[1]}: teacher", f"absent in {folders[0]}: case_b"]


def test_compare_knows_an_evaluation_by_its_rules(tmp_path):
    def evaluated(name, *told):
        folder = tmp_path / name / "stages" / "student-0"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text("{}")
        for number, one in enumerate(told):
            (folder / f"evaluation-native-{number}.json").write_text(json.dumps({"protocol": "native", **one}))
        return tmp_path / name

    def now(miou, rules, pictures=()):
        of = {"rules": rules, "pictures": list(pictures), "network": "0"}
        return {"of": of, "scores": {"miou": miou}}

    earlier_release = {"scores": {"miou": 0.1}}
    first = evaluated("first", earlier_release, now(0.5, "new"))
    assert told(run_folder.compare, first, evaluated("more pictures", now(0.5, "new"), now(0.5, "new", "ab")))[0]
    assert not told(run_folder.compare, first, evaluated("earlier", earlier_release))[0]
    same, text = told(run_folder.compare, first, evaluated("other rules too", now(0.5, "new"), now(0.6, "old")))
    assert not same and text.count("scores under native (") == 2 and "0.6" in text


def test_by_command(run_py, chain, copied):
    ended = run_py(["--mode=verify", f"--workdir={chain[0]}"])
    assert ended.code == 0 and "as recorded" in ended.stdout
    swap_weights(tiny_runs.stage_folder(copied, "case_b"))
    assert run_py(["--mode=verify", f"--workdir={copied}"]).code == 1
    assert run_py(["--mode=compare", str(chain[0]), str(copied)]).code == 0
    tiny_runs.one_line(run_py(["--mode=compare", str(chain[0])]), "wants the folders of two runs, 1 were given")


def test_a_second_run_in_a_workdir_is_refused(run_py, toy_city, workdir):
    arguments = tiny_runs.arguments(toy_city, workdir, goal="source_only")
    with workdir_lock.hold(workdir):
        ended = run_py(arguments)
        tiny_runs.one_line(ended, f"in use by process {os.getpid()} on ", "choose another --workdir")
        assert run_py([*arguments, "--mode=plan"]).code == 0
    assert run_py(arguments).code == 0


def test_sigterm_saves_and_has_its_own_code(toy_city, workdir):
    """As on a machine that is taken away: exit code 143, a checkpoint, no traceback."""
    changes = {"goal": "source_only", "train.eval_every": 0, "train.steps": 5000, "train.checkpoint_every": 5000}
    process = tiny_runs.start_training(toy_city, workdir, **changes)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (143, "stopped; the same command goes on where it was\n")
    assert "and saved" in stdout and list(workdir.glob("stages/source_only-*/checkpoints/[0-9]*"))
