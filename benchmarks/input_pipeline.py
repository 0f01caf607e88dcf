"""How fast training batches are made, from records and from files, beside two rivals.

python -m benchmarks.input_pipeline prints one JSON object. Every contender runs in a process of its own, bound to the
first N cores, on the same files: a source of GTA5's native size with labels, resized to 1024x512, and a target of
Cityscapes' native size without labels, resized to 1280x720, two of each in a batch. `pairs_per_second` counts one
source picture with its label and one target picture as a pair. Memory is the peak of the proportional set size (PSS) of
the process and its children.

Contenders:
  records_*    prepared records; files_*: the folders, nothing cached. *_tf and *_numpy are the two loaders.
  dataloader   PyTorch's DataLoader (a test extra) doing what the paper's released code does for each picture: Pillow
               decode and bicubic resize, label ids by one mask for each class, float32, BGR minus mean, channels first;
               as many workers as cores.
  naive_tf     tf.data from the folders with tensorflow's decoder and bicubic resize.

Flags: --pictures (of each domain), --seconds (of each measurement), --cores, --sizes=paper or small, --folder (keeps
the made-up files).
"""

import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil  # of tensorflow-datasets
from absl import flags
from PIL import Image

from benchmarks import rival_loaders
from configs import base
from data_pipelines.datasets import list_examples
from data_pipelines.datasets.toy_streets import ToyCity, ensure
from data_pipelines.doctor import command_line
from data_pipelines.domains import open_domains
from data_pipelines.feeding.input_pipeline import train_batches
from data_pipelines.prepare import preparation

NATIVE = {"gta5": (1914, 1052), "cityscapes": (2048, 1024)}
SIZES = {
    "paper": {"source": (1024, 512), "target": (1280, 720)},
    "small": {"source": (256, 128), "target": (320, 180)},
}
CONTENDERS = ("records_tf", "records_numpy", "files_tf", "files_numpy", "dataloader", "naive_tf")


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("pictures", 24, "Of each domain.", lower_bound=2, flag_values=values)
    flags.DEFINE_float("seconds", 10.0, "Of each measurement.", lower_bound=0.1, flag_values=values)
    flags.DEFINE_list(
        "cores", [str(n) for n in range(1, (os.cpu_count() or 1) + 1)], "Core counts.", flag_values=values
    )
    flags.DEFINE_enum("sizes", "paper", SIZES, "Sizes of the batches.", flag_values=values)
    flags.DEFINE_list("contenders", list(CONTENDERS), "Which ones.", flag_values=values)
    flags.DEFINE_string("folder", "", "Keeps the made-up files here.", flag_values=values)
    flags.DEFINE_string("measure", "", "For the benchmark itself: one measurement.", flag_values=values)


def run(values: flags.FlagValues, console) -> None:
    """Measures every contender at every core count and prints the JSON."""
    if values.measure:
        print(json.dumps(_measure(values)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(values.folder or scratch)
        files = make_files(folder, values.pictures)
        record_files = make_records(folder, SIZES[values.sizes])
        results = [
            {"contender": name, "cores": int(cores)} | _in_a_process(values, folder, name, int(cores))
            for cores in values.cores
            for name in values.contenders
        ]
    report = {
        "hardware": {"cores": os.cpu_count(), "cpu": _cpu_name()},
        "sizes": SIZES[values.sizes] | {"native": NATIVE},
        "pictures_of_each_domain": values.pictures,
        "files": files | record_files,
        "memory_copy_mb_per_second": _copy_speed(),
        "results": results,
        "ratios": _ratios(results),
    }
    print(json.dumps(report, indent=1))


def make_files(folder: pathlib.Path, pictures: int) -> dict:
    """Toy streets enlarged to native size, with grain, so that a PNG weighs what a photograph's does."""
    city = ToyCity(seed=0, size=(512, 256), num_train=pictures, num_val=2)
    ensure(folder / "toy", city)
    rng = np.random.default_rng(0)
    for dataset, size in NATIVE.items():
        for path in sorted((folder / "toy" / dataset).rglob("*.png")):
            new = folder / dataset / path.relative_to(folder / "toy" / dataset)
            if new.exists():
                continue
            new.parent.mkdir(parents=True, exist_ok=True)
            _enlarge(path, size, rng).save(new)
    sizes = {d: [p.stat().st_size for p in (folder / d).rglob("*.png")] for d in NATIVE}
    return {
        f"mean_mb_of_a_{d}_picture": round(statistics.mean(s for s in sizes[d] if s > 5e5) / 1e6, 2) for d in NATIVE
    }


def _enlarge(path: pathlib.Path, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    with Image.open(path) as picture:
        if picture.mode != "RGB":
            return picture.resize(size, Image.Resampling.NEAREST)
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 1.2, (size[1], size[0], 1)).astype(np.float32)
    return Image.fromarray((pixels + grain).round().clip(0, 255).astype(np.uint8))


def make_records(folder: pathlib.Path, sizes: dict) -> dict:
    """Prepares both domains with the project's own code; returns what that took."""
    start, found = time.monotonic(), {}
    for dataset, size in (("gta5", sizes["source"]), ("cityscapes", sizes["target"])):
        split = list_examples(dataset, folder / dataset, "train", labelled=dataset == "gta5")
        plan = preparation.prepare(split, size, False, folder / "prepared", shard_mb=256, compression="none")
        if not preparation.is_done(plan):
            preparation.begin(plan)
            for job in plan.jobs():
                preparation.write_shard(job)
            preparation.finish(plan)
        num_bytes = sum(path.stat().st_size for path in plan.folder.iterdir())
        found[f"mb_of_a_{dataset}_record"] = round(num_bytes / 1e6 / len(split), 2)
    return found | {"prepared_in_seconds_one_process": round(time.monotonic() - start, 1)}


def _in_a_process(values: flags.FlagValues, folder: pathlib.Path, name: str, cores: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.input_pipeline", f"--measure={name}", f"--folder={folder}"]
    command += [f"--seconds={values.seconds}", f"--cores={cores}", f"--sizes={values.sizes}"]
    print(f"{name} on {cores} cores ...", file=sys.stderr)
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _measure(values: flags.FlagValues) -> dict:
    """One contender on some cores: pairs/s, seconds to the first batch, MB."""
    cores, sizes, folder = int(values.cores[0]), SIZES[values.sizes], pathlib.Path(values.folder)
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    make = _contender(values.measure, folder, sizes, cores)
    with _peak_memory() as memory:
        start = time.monotonic()
        batches = make(0)
        next(batches)
        first = time.monotonic() - start
        pairs, start = 0, time.monotonic()
        while time.monotonic() - start < values.seconds:
            pairs += len(next(batches)["source_image"])
        seconds = time.monotonic() - start
    found = {
        "pairs_per_second": round(pairs / seconds, 2),
        "peak_memory_mb": round(memory[-1]),
        "seconds_to_first_batch": round(first, 2),
    }
    if values.measure.startswith(("records", "files")):
        start = time.monotonic()
        next(make(100_000))
        found["seconds_to_batch_of_step_100000"] = round(time.monotonic() - start, 2)
    return found


def _contender(name: str, folder: pathlib.Path, sizes: dict, cores: int):
    """A function from the first step to an iterator of batches."""
    if name in ("dataloader", "naive_tf"):
        return lambda step: getattr(rival_loaders, name)(folder, sizes["source"], sizes["target"], cores)
    kind, loader = name.split("_")
    data = base.get_config().data
    data.update({"name": "gta5", "root": str(folder), "loader": loader, "num_parallel_calls": cores, "cache_mb": 0})
    data.update({"source_size": sizes["source"], "target_size": sizes["target"]})
    data.records_dir = "" if kind == "records" else str(folder / "nowhere")
    domains = open_domains(data)
    reads = [note for note in domains.notes if "reads" in note]
    if not all(("records" in note) == (kind == "records") for note in reads):
        raise RuntimeError(f"{name} would read something else: {reads}")
    return lambda step: train_batches(data, domains, seed=0, start_step=step)


@contextlib.contextmanager
def _peak_memory():
    """Yields a list whose last value is, at the end, the largest PSS of this process and its children, MB."""
    peak, ended = [0.0], threading.Event()

    def watch():
        while True:
            peak.append(max(peak[-1], _pss_mb()))
            if ended.wait(0.1):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _pss_mb() -> float:
    this, total = psutil.Process(), 0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += process.memory_full_info().pss
    return total / 1e6


def _ratios(results: list[dict]) -> list[dict]:
    """Ours over each rival, at the same number of cores."""
    speed = {(r["contender"], r["cores"]): r["pairs_per_second"] for r in results}
    pairs = itertools.product(CONTENDERS[:4], CONTENDERS[4:], sorted({r["cores"] for r in results}))
    return [
        {"ours": ours, "rival": rival, "cores": n, "ratio": round(speed[ours, n] / speed[rival, n], 2)}
        for ours, rival, n in pairs
        if (ours, n) in speed and (rival, n) in speed
    ]


def _copy_speed() -> int:
    """MB/s that all cores together copy between arrays larger than any cache: a bound for whatever moves pictures."""
    cores, num_bytes, rounds = os.cpu_count() or 1, 2**27, 8
    arrays = [(np.ones(num_bytes, np.uint8), np.empty(num_bytes, np.uint8)) for _ in range(cores)]

    def copy(source, target):
        for _ in range(rounds):
            np.copyto(target, source)

    threads = [threading.Thread(target=copy, args=pair) for pair in arrays]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(cores * rounds * num_bytes / 1e6 / (time.monotonic() - start))


def _cpu_name() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv, define_flags, run, __doc__))
