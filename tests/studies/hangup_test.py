"""SIGHUP: a terminal that is closed takes no work with it."""

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
import tiny_runs
from paper_jobs_test import WAIT, FakeTask, wait_for

from dakd_jax.commands.kit.lasting_output import LastingStream
from dakd_jax.stages import weights
from dakd_jax.studies.paper_tables.jobs import engines, schedule
from dakd_jax.training.runtime import interruption
from dakd_jax.training.runtime.interruption import Stopped, StopRequest

NO_PAGE = "import dakd_jax.studies.experiment.page as p; p.write_report = lambda found, folder: folder / 'index.html'\n"
# Takes the terminal as its own, as a shell's child has it, and waits inside a step for its end.
AT_STEP_3 = """
import fcntl, pathlib, runpy, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
import dakd_jax.training.loop as t
plain, folder, made = t.train_step, pathlib.Path(sys.argv.pop(1)), []
def step(*args, **kwargs):
    made.append(0)
    if len(made) == 3:
        (folder / "inside").touch()
        while not (folder / "closed").exists():
            time.sleep(0.01)
    return plain(*args, **kwargs)
t.train_step = step
sys.argv[0] = "run.py"
runpy.run_path("run.py", run_name="__main__")
"""


@pytest.fixture
def signals():
    """Puts the handlers back as they were."""
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def in_a_terminal(arguments, folder):
    """(process of run.py that stands in its third step, the terminal's other end)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_STEP_3, str(folder), *arguments], cwd=tiny_runs.PROJECT,
        env=tiny_runs.environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    shown, deadline = b"", time.monotonic() + 200
    while not (folder / "inside").exists():
        try:
            shown += os.read(ours, 65536)
        except (BlockingIOError, OSError) as error:
            assert error.errno in (errno.EAGAIN, errno.EIO)
        assert process.poll() is None and time.monotonic() < deadline, shown
        time.sleep(0.01)
    return process, ours


def test_a_closed_terminal_saves_and_the_same_command_goes_on_to_the_same_bits(run_py, toy_city, chain, tmp_path):
    arguments = tiny_runs.arguments(toy_city, tmp_path, **{"goal": "source_only", "train.checkpoint_every": 100})
    process, terminal = in_a_terminal(arguments, tmp_path)
    os.close(terminal)
    os.kill(process.pid, signal.SIGHUP)  # the shell's own, beside the kernel's
    (tmp_path / "closed").touch()
    assert process.wait(60) == 129
    folder = tiny_runs.stage_folder(tmp_path, "source_only")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["3"]
    assert json.loads((folder / "record.json").read_text())["status"] == "training"
    ended = run_py(arguments, before=NO_PAGE)
    assert ended.code == 0 and "goes on at step 3" in ended.stdout
    whole = tiny_runs.stage_folder(chain[0], "source_only")
    assert (folder / weights.FILE).read_bytes() == (whole / weights.FILE).read_bytes()
    assert tiny_runs.metric_rows(folder) == tiny_runs.metric_rows(whole)


def test_the_jobs_of_a_table_save_when_its_command_is_hung_up(tmp_path, signals):
    """Whatever comes along with the hangup: no job is ended at once."""
    interruption.stop_on_signals()
    lines = []

    def report(line):
        lines.append(line)
        if "started" in line:
            wait_for(tmp_path / "a.log", "ready")
            os.kill(os.getpid(), signal.SIGHUP)
        else:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        schedule.Schedule(
            [FakeTask(tmp_path, "a", WAIT)], lambda task: task.job(), engines.LocalEngine(1, ()), 1, report
        ).run()
    assert stopped.value.exit_code == 129 and lines[-1] == "stopping: 1 running jobs save their state"
    assert (tmp_path / "a.log").read_text().endswith("saved\n")


def test_hangups_never_interrupt_at_once_and_other_second_signals_do(signals):
    interruption.stop_on_signals()
    for first, second in ((signal.SIGHUP, signal.SIGHUP), (signal.SIGTERM, signal.SIGHUP), (1, signal.SIGTERM)):
        with StopRequest() as stop:
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), second)
        assert stop.made == first
    try:
        os.kill(os.getpid(), signal.SIGHUP)  # when it has stopped and is on its way out
    except Stopped:
        pytest.fail("a repeated hangup interrupts the end")
    for number in (signal.SIGTERM, signal.SIGINT):
        with pytest.raises(KeyboardInterrupt), StopRequest():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)


def test_under_nohup_a_hangup_stays_ignored(signals):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption.stop_on_signals()
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    assert stop.made is None and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("kind", ["terminal", "pipe"])
def test_output_outlives_its_other_end(kind):
    ours, theirs = pty.openpty() if kind == "terminal" else os.pipe()
    stream = LastingStream(os.fdopen(theirs, "w"))
    stream.write("seen\n")
    stream.flush()
    assert os.read(ours, 100).startswith(b"seen")
    os.close(ours)
    for _ in range(2):
        stream.write("lost\n")
        stream.flush()
    os.write(stream.fileno(), b"lost as well")
    stream.close()  # and nothing is left that its end could fail on


def test_other_faults_of_the_output_are_told():
    with pytest.raises(OSError, match="No space"), open("/dev/full", "w") as full:
        stream = LastingStream(full)
        stream.write("x")
        stream.flush()
