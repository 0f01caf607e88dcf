"""Jobs of a table under the engines that run them: order, failures, kills, stops. A small script stands for run.py."""

import json
import os
import pathlib
import signal
import threading
import time
import types

import pytest

from configs import table1
from dakd_jax.basics import progress
from dakd_jax.basics.errors import UserError
from dakd_jax.studies.paper_tables.jobs import engines, jobs, schedule
from dakd_jax.studies.paper_tables.jobs.processes import STARTED, Job, JobProcess

PROGRAM = """
import json, os, pathlib, signal, sys, time
file = pathlib.Path(sys.argv[1].removeprefix("--job="))
told = json.loads(file.read_text())
print("began", told["name"], flush=True)
exec(told["do"])
file.with_suffix(".done").write_text("")
"""
WAIT = (
    "signal.signal(15, lambda *_: (print('saved', flush=True), sys.exit(143)));print('ready',flush=True);time.sleep(60)"
)


class FakeTask:
    """As planning.Task, with a script for what it does."""

    def __init__(self, folder, name, do="", parents=(), network="student"):
        self.folder, self.name, self.do = folder, name, do
        self.title, self.key, self.parents = f"row {name}", name, tuple(parents)
        self.planned = types.SimpleNamespace(stage=types.SimpleNamespace(network=network))

    @property
    def done(self):
        return (self.folder / f"{self.name}.done").exists()

    def job(self):
        file = self.folder / f"{self.name}.json"
        file.write_text(json.dumps({"name": self.name, "do": self.do}))
        program = self.folder / f"{self.name}.py"  # one each: another job may be reading its own
        program.write_text(PROGRAM)
        return Job(str(program), str(file), str(file.with_suffix(".log")))


def run(tasks, at_once=1, engine=None, **callbacks):
    """(failures, lines) of a schedule."""
    lines = []
    made = schedule.Schedule(
        tasks, lambda task: task.job(), engine or engines.LocalEngine(at_once, ()), at_once, lines.append, **callbacks
    )
    return made.run(), lines


def wait_for(path, text):
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_parents_come_first_and_no_failure_stops_the_others(tmp_path):
    tasks = [
        FakeTask(tmp_path, "teacher", "time.sleep(0.2)", network="teacher"),
        FakeTask(tmp_path, "good", "assert pathlib.Path(file.parent, 'teacher.done').exists()", ["teacher"]),
        FakeTask(tmp_path, "bad", "print('error: no such picture', file=sys.stderr); sys.exit(2)", ["teacher"]),
        FakeTask(tmp_path, "killed", "os.kill(os.getpid(), 9)"),
        FakeTask(tmp_path, "crashed", "1 / 0"),
        FakeTask(tmp_path, "child", parents=["bad"]),
        FakeTask(tmp_path, "grandchild", parents=["child"]),
    ]
    written = []
    failures, lines = run(tasks, 2, score=lambda task: f"score of {task.name}", after=lambda: written.append(0))
    assert {failure.title: failure.reason for failure in failures} == {
        "row bad": "no such picture",
        "row killed": "killed by signal 9; began killed",
        "row crashed": "ZeroDivisionError: division by zero",
        "row child": "not started: row bad failed",
        "row grandchild": "not started: row child failed",
    }
    logs = {failure.title: failure.log for failure in failures}
    assert pathlib.Path(logs["row bad"]).read_text() == f"{STARTED}\nbegan bad\nerror: no such picture\n"
    assert logs["row child"] == "" and len(written) == 2 and tasks[0].done and tasks[1].done
    text = "\n".join(lines)
    assert "1/7 row teacher: started, log " in text and "row good: done in 0 s, score of good; " in text
    assert text.count("started") == 5 and "row bad: FAILED after 0 s: no such picture" in text


def test_as_many_at_once_as_asked_for(tmp_path):
    do = "c=file.parent;(c/f'in-{told[\"name\"]}').touch();time.sleep(.15);n=len(list(c.glob('in-*')));"
    do += "print('together',n,flush=True);(c/f'in-{told[\"name\"]}').unlink()"
    tasks = [FakeTask(tmp_path, str(i), do) for i in range(6)]
    assert run(tasks, 3)[0] == []
    most = max(int(task.job().log and (tmp_path / f"{task.name}.log").read_text().split()[-1]) for task in tasks)
    assert most in (2, 3)


def test_what_is_left_and_for_how_long(tmp_path):
    tasks = [FakeTask(tmp_path, str(i), "time.sleep(0.2)") for i in range(3)]
    _, lines = run(tasks)
    assert "2 left, about " in lines[1] and lines[1].endswith(" s") and lines[-1].endswith("nothing left")
    assert [progress.duration(s) for s in (40, 600, 7200)] == ["40 s", "10 min", "2.0 h"]


def test_an_end_without_a_result_is_a_failure(tmp_path):
    (failure,) = run([FakeTask(tmp_path, "a", "os._exit(0)")])[0]
    assert failure.reason == "began a"
    (failure,) = run([FakeTask(tmp_path, "b", "open(file.with_suffix('.log'), 'w').close(); os._exit(5)")])[0]
    assert failure.reason == "exit code 5"


def test_what_has_its_result_is_done_however_its_process_ended(tmp_path):
    do = "file.with_suffix('.done').write_text('');os.kill(os.getpid(), signal.SIGSEGV)"
    failures, lines = run([FakeTask(tmp_path, "a", do), FakeTask(tmp_path, "child", parents=["a"])])
    assert failures == [] and "row a: done in 0 s" in lines[1]


def test_the_reason_is_that_of_the_newest_process(tmp_path):
    (failed,), _ = run([FakeTask(tmp_path, "a", "print('error: no room'); sys.exit(2)")])
    assert failed.reason == "no room"
    (failed,), _ = run([FakeTask(tmp_path, "a", "1 / 0")])
    assert "ZeroDivisionError" in failed.reason
    assert "no room" in (tmp_path / "a.log").read_text()


def test_a_stop_lets_the_jobs_save_and_starts_no_more(tmp_path):
    tasks = [FakeTask(tmp_path, "a", WAIT), FakeTask(tmp_path, "b", WAIT), FakeTask(tmp_path, "c")]
    lines, log = [], tmp_path / "b.log"

    def report(line):
        lines.append(line)
        if line.startswith("2/3"):
            wait_for(tmp_path / "a.log", "ready")
            wait_for(log, "ready")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        schedule.Schedule(tasks, lambda task: task.job(), engines.LocalEngine(2, ()), 2, report).run()
    assert log.read_text() == f"{STARTED}\nbegan b\nready\nsaved\n" and "saved" in (tmp_path / "a.log").read_text()
    assert lines[-1] == "stopping: 2 running jobs save their state" and not (tmp_path / "c.log").exists()


def test_a_job_is_out_of_reach_of_the_terminal_and_killed_when_it_must_be(tmp_path):
    process = JobProcess(FakeTask(tmp_path, "a", "signal.signal(15, signal.SIG_IGN); time.sleep(60)").job(), {})
    wait_for(tmp_path / "a.log", "began")
    assert os.getsid(process._process.pid) != os.getsid(0)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL


def test_a_job_stops_when_the_one_who_started_it_is_gone():
    stopped = threading.Event()
    before, standard_input = signal.signal(signal.SIGTERM, lambda *_: stopped.set()), os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    try:
        jobs._stop_with_starter()
        assert not stopped.wait(0.1)
        os.close(writing)
        assert stopped.wait(10)
    finally:
        os.dup2(standard_input, 0)
        signal.signal(signal.SIGTERM, before)
        os.close(reading)
        os.close(standard_input)


def test_one_gpu_for_each_place(tmp_path, monkeypatch):
    ends = {}

    class Process:
        def __init__(self, job, environment):
            self.environment = environment

        def poll(self):
            return ends.get(self)

    monkeypatch.setattr(engines, "JobProcess", Process)
    engine = engines.LocalEngine(2, ["3", "5"])
    first, second = engine.start(None), engine.start(None)
    assert (first.where, second.where) == ("GPU 3", "GPU 5")
    assert second._process.environment == {"CUDA_VISIBLE_DEVICES": "5"}
    ends[second._process] = 0
    assert engine.start(None).where == "GPU 5"
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    shared = engines.LocalEngine(3, ["0", "1"]).start(None)._process.environment
    assert shared == {"CUDA_VISIBLE_DEVICES": "0", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}
    assert engines.LocalEngine(4, ()).start(None)._process.environment == {}


def test_which_gpus_there_are(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 4")
    assert engines.devices() == []
    monkeypatch.delenv("JAX_PLATFORMS")
    assert engines.devices() == ["1", "4"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engines.devices() == ["0", "1", "2"]
    program.unlink()
    assert engines.devices() == []


# A cluster's engine


def cluster(**changes):
    made = table1.get_config().cluster
    made.update({"engine": "submitit", "executor": "local", "gpus": 0, **changes})
    return made


def test_the_engine_is_chosen_and_its_settings_are_checked(tmp_path):
    assert isinstance(engines.make(table1.get_config().cluster, tmp_path, 2), engines.LocalEngine)
    with pytest.raises(UserError, match="cluster.engine='ray': expected one of local, submitit"):
        engines.make(cluster(engine="ray"), tmp_path, 1)
    pytest.importorskip("submitit")
    for changes, told in (
        ({"executor": "pbs"}, "cluster.executor='pbs': expected one of auto, slurm, local"),
        ({"options": "account"}, "cluster.options='account': expected NAME=VALUE"),
        ({"executor": "slurm"}, "cluster.executor='slurm': .*srun"),
    ):
        with pytest.raises(UserError, match=told):
            engines.make(cluster(**changes), tmp_path, 1)


def test_slurm_s_settings_reach_it(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    from dakd_jax.studies.paper_tables.jobs import submitit_engine

    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    chosen = cluster(executor="slurm", gpus=1, partition="big", options="account=me,constraint=a100", minutes=90)
    executor = submitit_engine.SubmititEngine(chosen, tmp_path)._executor._executor
    text = executor._make_submission_file_text("command", "uid")
    for line in ("partition=big", "account=me", "constraint=a100", "time=90", "gpus-per-node=1", "mem=64GB"):
        assert f"#SBATCH --{line}\n" in text, text
    assert "#SBATCH --signal=USR2@90" in text and executor.max_num_timeout == 100


def test_submitit_runs_the_same_jobs(tmp_path):
    pytest.importorskip("submitit")
    tasks = [
        FakeTask(tmp_path, "teacher"),
        FakeTask(tmp_path, "bad", "print('error: no'); sys.exit(2)"),
        FakeTask(tmp_path, "good", "assert pathlib.Path(file.parent, 'teacher.done').exists()", ["teacher"]),
    ]
    engine = engines.make(cluster(), tmp_path / "jobs", 2)
    failures, lines = run(tasks, 2, engine)
    assert [(failure.title, failure.reason) for failure in failures] == [("row bad", "no")]
    assert tasks[0].done and tasks[2].done and "started on job " in lines[0]
    assert (tmp_path / "good.log").read_text() == f"{STARTED}\nbegan good\n"


def test_a_job_whose_time_is_up_saves_and_is_queued_again(tmp_path):
    pytest.importorskip("submitit")
    from dakd_jax.studies.paper_tables.jobs.submitit_engine import SubmittedJob

    submitted = SubmittedJob(FakeTask(tmp_path, "a", WAIT).job())
    submitted._process = JobProcess(submitted._job, {})
    wait_for(tmp_path / "a.log", "ready")
    again = submitted.checkpoint()
    assert (tmp_path / "a.log").read_text().endswith("saved\n")
    assert again.function._job == submitted._job and again.function._process is None
