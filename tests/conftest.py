"""Shared paths and fixtures of the tests."""

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

# The tests are small: two threads of XLA and TensorFlow are enough, and quiet logs keep failures readable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest
from filelock import FileLock

gc.set_threshold(50_000, 20, 50)  # as run.py does: a tenth of the time went into the collector
BEGAN, PEAKS = time.monotonic(), {}
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if not WORKER:
    # For the workers: what is freed goes back to the system, instead of staying in pools of the C library.
    os.environ["MALLOC_ARENA_MAX"] = "2"
    # What one worker, or a process that a test starts, has compiled is compiled for all. Removed when this one ends.
    _compiled = tempfile.TemporaryDirectory(prefix="dakd_jax_tests_", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # what tests compile seldom takes jax's second
    # Where Python may write no bytecode beside the sources, as in many images, each of the hundred processes that tests
    # start would compile what it imports: seconds of jax, fifteen with tensorflow and torch. It goes into this folder.
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode, sys.pycache_prefix = False, os.path.join(_compiled.name, "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    # What tests compile runs a few times: without most of LLVM's passes it is there in a fraction of the time. Also by
    # the emitters that XLA had before, and where all passes are asked for without unrolling loops, which takes LLVM
    # most of its time on some processors (Zen 3). A flag that a later version does not know would end every process.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        quick = "--xla_cpu_use_fusion_emitters=false --xla_backend_extra_options=xla_cpu_disable_loop_unrolling"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {quick}".strip()
if WORKER and hasattr(os, "sched_setaffinity"):
    # One core for each worker: XLA's threads of two workers on the same cores only get in each other's way.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(WORKER.removeprefix("gw")) % len(cores)]})

COMMITTED_GOLDEN = pathlib.Path(__file__).parent / "golden"  # its absence is a failure, no reason to skip
SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """Files with what takes longest first, so that no worker ends long after the other."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish():
    """Hundreds of thousands of objects of what was imported stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()


def release_memory():
    """Gives back what is no longer used: a C library keeps what was freed."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True, scope="module")
def forget_what_was_compiled():
    """Programs of a module that is done, and the weights behind it, would fill gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    if "golden" in sys.modules:
        sys.modules["golden"].forget()
    release_memory()


@pytest.fixture(autouse=True, scope="session")
def default_place_of_records(tmp_path_factory):
    """What goes below the current folder unless told otherwise would stay in the checkout."""
    from data_pipelines.reading import prepared_records

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared_records, "DEFAULT", tmp_path_factory.mktemp("records"))
        yield


def pytest_sessionfinish(session):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux tells kilobytes
    if WORKER:
        session.config.workeroutput["peak"] = peak
    else:
        PEAKS["this process"] = peak


class Controller:
    """What the process that starts the workers listens to."""

    def pytest_testnodedown(self, node):
        if "peak" in getattr(node, "workeroutput", {}):
            PEAKS[node.gateway.id] = node.workeroutput["peak"]


def pytest_configure(config):
    if not WORKER and config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Controller())


def pytest_terminal_summary(terminalreporter):
    peaks = ", ".join(f"{name} {peak:.2f} GB" for name, peak in sorted(PEAKS.items()))
    terminalreporter.write_line(f"took {time.monotonic() - BEGAN:.0f} s; peak memory: {peaks}")


@pytest.fixture(scope="session")
def golden_dir():
    """Folder of reference numbers computed with the released PyTorch code: the full set, else the committed part."""
    full = SHARED / "golden"
    return full if full.is_dir() else COMMITTED_GOLDEN


@pytest.fixture(scope="session")
def camvid_dir():
    """Folder of the day-to-dusk benchmark in the BDD100K and Cityscapes layouts."""
    path = SHARED / "data" / "camvid_day_to_dusk"
    if not path.is_dir():
        pytest.skip(f"no CamVid day-to-dusk data at {path}")
    return path


@pytest.fixture(scope="session")
def shared_by_workers(tmp_path_factory):
    """Makes a folder once for all workers: (name, function of an empty folder that does not exist) to the folder."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if WORKER else base

    def make_once(name, make):
        with FileLock(place / f"{name}.lock"):
            if not (place / name).exists():
                make(place / f"{name}-unfinished")
                (place / f"{name}-unfinished").rename(place / name)
        return place / name

    return make_once


@pytest.fixture(scope="session")
def toy_city(shared_by_workers):
    """Root of a toy city of a few small pictures; not to be changed."""
    import tiny_runs  # not at the top: most tests need no jax

    from data_pipelines.feeding.feed import Feed

    def make(folder):
        assert Feed(tiny_runs.config(folder / "city").data).domains

    return shared_by_workers("toy", make) / "city"


@pytest.fixture(scope="session")
def chain(toy_city, shared_by_workers, tmp_path_factory):
    """(workdir, console text) of one tiny run of all stages but student_continued; the folder is this worker's own."""
    import tiny_runs

    def make(folder):
        text = tiny_runs.run(tiny_runs.config(toy_city, goal=tiny_runs.ALL_BUT_CONTINUED), folder)
        (folder / "console.txt").write_text(text.replace(str(folder), "WORKDIR"))

    made = shared_by_workers("chain", make)
    workdir = tmp_path_factory.mktemp("copy") / "chain"
    shutil.copytree(made, workdir)
    return workdir, (workdir / "console.txt").read_text().replace("WORKDIR", str(workdir))


@pytest.fixture(scope="session")
def run_py(tmp_path_factory):
    """Runs run.py on a list of arguments: Ended(code, stdout, stderr)."""
    import tiny_runs

    runner = tiny_runs.WarmRunner(tmp_path_factory.mktemp("warm"))
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def lively(tmp_path_factory):
    """(path of weights, model, weights) of a tiny network that predicts several classes."""
    from lively_networks import lively_variables

    from dakd_jax.models.segmenter import Segmenter
    from dakd_jax.stages import weights

    model = Segmenter(arch="tiny", num_classes=19)
    variables = lively_variables(model)
    path = tmp_path_factory.mktemp("lively") / "lively.pth"
    weights.save(path, variables, model)
    return path, model, variables


@pytest.fixture
def workdir(tmp_path):
    """An empty one."""
    folder = tmp_path / "workdir"
    folder.mkdir()
    return folder
