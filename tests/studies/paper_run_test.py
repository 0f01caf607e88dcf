"""A table of the paper through run.py: rows as processes, one that fails, the same command again."""

import csv
import json
import pathlib
import re
import shutil

import paper_rows_test
import pytest
import tiny_runs
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.studies.paper_tables.jobs import jobs
from data_pipelines.feeding.feed import Feed

# Makes of a table's toy scale the settings of `chain`: its teacher, student and case (a) are then the table's.
LIKE_CHAIN = {"data.mirror": False, "data.toy.source": "gta5", "eval.batch_size": 2}


def test_a_table_through_run_py(run_py, chain, toy_city, workdir):
    for name in ("teacher", "student", "case_a"):
        folder = tiny_runs.stage_folder(chain[0], name)
        shutil.copytree(folder, workdir / "stages" / folder.name)
    # The row vii as it is left by a kill just before its end.
    (workdir / "stages" / folder.name / "model.pth").unlink()
    taken = workdir / "stages" / paper_rows_test.plan_of(toy_city, workdir, **LIKE_CHAIN).cells["i KL 0.4", 0]
    (taken / "checkpoints" / "4").mkdir(parents=True)
    (taken / "checkpoints" / "4" / "about.json").write_text('{"format": 99}')  # of a version to come
    given = [*paper_rows_test.arguments(toy_city, workdir, **LIKE_CHAIN), "--rows=student,KL 0.4,vii"]

    ended = run_py([*given, "--jobs=2"])
    assert ended.code == 4 and ended.stderr == "", ended
    assert ended.stdout.count("finished, reused") == 2 and ended.stdout.count(": started") == 2
    log = next((workdir / "table_table1" / "jobs").glob("vii-*.log")).read_text()
    assert re.search(r"vii .*, seed 0: done in \d+ s, mIoU \d", ended.stdout), f"{ended.stdout}\n{log}"
    assert f"goes on at step {tiny_runs.STEPS}" in log
    failed = re.search(rf"failed: i KL 0\.4, seed 0: .*{taken.name}.* does not fit .* \(log (.*\.log)\)", ended.stdout)
    assert "error: " in pathlib.Path(failed[1]).read_text()
    lines = rows_of(workdir)
    assert [name for name, line in lines.items() if line["seeds"] == "0"] == ["teacher", "student", "vii 0.1 0.01 1"]
    assert lines["i 0.4"]["missing"] == "not finished" and len(lines) == 21
    stored = json.loads(next(tiny_runs.stage_folder(chain[0], "case_a").glob("evaluation-*.json")).read_text())
    assert float(lines["vii 0.1 0.01 1"]["miou_mean"]) == pytest.approx(100 * stored["scores"]["miou"], abs=1e-4)

    shutil.rmtree(taken / "checkpoints")
    again = run_py(given)
    assert again.code == 0 and again.stdout.count(": started") == 1 and "failed" not in again.stdout
    assert again.stdout.count("finished, reused") == 3 and rows_of(workdir)["i 0.4"]["seeds"] == "0"
    # A row is an ordinary stage: by itself it is found finished, and all is as recorded.
    weights = {"goal": ("case_a",), "loss.kl": 0.4, "loss.mse": 0.0, "loss.ce": 0.0}
    assert run_py([*tiny_runs.arguments(toy_city, workdir, **weights), "--mode=plan"]).stdout.count("reused") == 2
    assert run_py(["--mode=verify", f"--workdir={workdir}"]).code == 0


def rows_of(workdir):
    """Lines of the table's CSV by section and weights."""
    with open(workdir / "table_table1" / "table.csv") as file:
        return {" ".join(filter(None, list(line.values())[:4])): line for line in csv.DictReader(file)}


def test_a_job_whose_data_have_changed_is_refused(toy_city, tmp_path):
    plan = paper_rows_test.plan_of(toy_city, tmp_path)
    job = jobs.write(tmp_path / "jobs", plan.tasks[plan.wanted[0]], tmp_path, tiny_runs.PROJECT / "run.py")
    assert job.file.endswith(f"teacher-seed-0-{plan.tasks[plan.wanted[0]].planned.hash[:8]}.json")
    told = json.loads(pathlib.Path(job.file).read_text())
    (tmp_path / "changed.json").write_text(json.dumps(told | {"hash": "0" * 64}))
    with pytest.raises(UserError, match="teacher, seed 0: its data or parents have changed"):
        jobs.do(tmp_path / "changed.json", Feed, Console())
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="other.json is no job of a table"):
        jobs.do(tmp_path / "other.json", Feed, Console())
    # The config comes back as it was: the same stage.
    config = jobs.ConfigDict(jobs._with_tuples(told["config"]))
    assert config.data.toy.size == (64, 48) and config.goal == ("teacher",)
