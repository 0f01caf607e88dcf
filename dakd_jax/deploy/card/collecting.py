"""From networks to all that a card shows, as plain data: card.json."""

import datetime
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.basics.progress import StageProgress
from dakd_jax.deploy import export
from dakd_jax.deploy.card import counts, latency, runtimes, scores
from dakd_jax.deploy.card.latency import Measured, Order
from dakd_jax.deploy.card.subjects import Subject
from dakd_jax.deploy.export.program import LABELS, LEAST_SIDE, LOGITS, NetworkProgram
from dakd_jax.stages import weights
from dakd_jax.studies.kit.trade import FORMAT_VERSION

_OF_JAX = ("dakd_jax.deploy.loaded", "dakd_jax.training.step.train_step")  # imported before anything is measured
_VERSIONS = ("jax", "jaxlib", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "tensorflow-cpu", "tensorflow", "torch")


class Row(NamedTuple):
    """What is measured of a network.

    Attributes:
      network: its name on the card.
      runtime, dtype: for people.
      order: for latency.measure.
      file_bytes: of the exported file, None without one.
      teaching: how many views of a picture it is asked about, in words; '' for the network by itself.
    """

    network: str
    runtime: str
    dtype: str
    order: Order
    file_bytes: int | None = None
    teaching: str = ""


class CardSettings(NamedTuple):
    """How a card is made.

    Attributes:
      size: (width, height), None for each network's own.
      threads: of every row; 0 for all cores.
      runs: timed calls.
      formats: of runtimes.FORMATS, perhaps with :PRECISION after them.
      calibration: (network, its picture's size) to pictures uint8 [H, W, 3] of the target, for int8.
    """

    size: tuple[int, int] | None = None
    threads: tuple[int, ...] = (1, 0)
    runs: int = 40
    formats: tuple[str, ...] = ("onnx", "tflite")
    calibration: Callable[[Subject, tuple[int, int]], Sequence[np.ndarray]] = lambda subject, size: ()

    def thread_counts(self) -> list[int]:
        """In ascending order, each once; more than there are cores are all."""
        cores = len(latency.usable_cores())
        return sorted({min(count or cores, cores) for count in self.threads})

    def size_of(self, subject: Subject) -> tuple[int, int]:
        size = self.size or subject.found.size
        if min(size) < LEAST_SIDE:
            raise UserError(f"--size={size[0]}x{size[1]}: at least {LEAST_SIDE} pixels on each side")
        return tuple(size)


# (network, its picture's (width, height), the settings, a folder for files) to (rows, what was left out and why).
MakesRows = Callable[[Subject, tuple[int, int], CardSettings, pathlib.Path], tuple[list[Row], list[dict]]]


def collect(
    subjects: Sequence[Subject],
    settings: CardSettings,
    console: Console,
    *,
    command: str,
    more: Sequence[MakesRows] = (),
) -> dict:
    """Measures and counts; says in a line each what is left out.

    Args:
      command: that makes the same again.
      more: makes rows of further runtimes.

    Raises:
      UserError: a size that cannot be.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    sizes, load = [settings.size_of(subject) for subject in subjects], _load()
    networks = [_network(subject, size) for subject, size in zip(subjects, sizes, strict=True)]
    with tempfile.TemporaryDirectory(prefix="dakd_card_files_") as folder:
        rows, left_out = _rows(subjects, sizes, settings, (_in_jax, _exported, *more), pathlib.Path(folder))
        for line in dict.fromkeys(map(_left_out_line, left_out)):
            say(line)
        found = _measured([row.order for row in rows], settings.runs, console)
    failed = [_failed(row, one) for row, one in zip(rows, found, strict=True) if one.problem]
    for one in failed:
        say(_left_out_line(one))
    told = [_row(row, one, _of_jax(rows, found, row)) for row, one in zip(rows, found, strict=True) if not one.problem]
    head = _head(command, settings, load)
    return head | {"networks": networks, "rows": told, "left_out": left_out + failed}


def _head(command: str, settings: CardSettings, load: float | None) -> dict:
    return {
        "format": FORMAT_VERSION,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine(load),
        "batch": 1,
        "runs": settings.runs,
        "starts": latency.starts(settings.runs),
        "methods": latency.METHODS,
    }


def _rows(subjects, sizes, settings: CardSettings, makers: Sequence[MakesRows], folder: pathlib.Path):
    """(rows of all networks, what was left out), with their files in a folder."""
    rows, left_out = [], []
    for number, (subject, size) in enumerate(zip(subjects, sizes, strict=True)):
        for at, maker in enumerate(makers):
            (place := folder / f"{number}_{at}").mkdir()
            made, without = maker(subject, size, settings, place)
            rows, left_out = rows + made, left_out + without
    return rows, left_out


def _measured(orders: Sequence[Order], runs: int, console: Console) -> list[Measured]:
    with StageProgress(console, "Measuring", latency.units(orders, runs), unit="turn") as progress:
        return latency.measure(orders, runs, lambda: progress.advance(1))


def _network(subject: Subject, size: tuple[int, int]) -> dict:
    found = subject.found
    variables = weights.load(found.place, found.model)
    program = NetworkProgram(found.model, variables, size[::-1])
    told = {
        "name": subject.name,
        "stage": subject.stage,
        "arch": found.model.arch,
        "width": found.model.width,
        "classes": len(found.classes),
        "size": list(size),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "gmacs": counts.of_network(program),
        "score": scores.recorded(found, subject.stage, size),
    }
    if not subject.views.plain:
        scaled = [tuple(max(1, round(side * scale)) for side in size[::-1]) for scale in subject.views.scales]
        each = [NetworkProgram(found.model, variables, of) for of in scaled]
        macs = sum(counts.count(one.logits(native=True), one.shape).macs for one in each)
        told["teaching"] = {
            "scales": list(subject.views.scales),
            "mirror": subject.views.mirror,
            "gmacs": macs * (2 if subject.views.mirror else 1) / 1e9,
        }
    return told


def _in_jax(subject: Subject, size, settings: CardSettings, folder: pathlib.Path) -> tuple[list[Row], list[dict]]:
    """The rows that always stand."""
    arguments, rows = {"path": subject.path, "how": dict(subject.how)}, []
    views = {"scales": list(subject.views.scales), "mirror": subject.views.mirror}
    for count in _bound(settings.thread_counts()):
        order = Order(f"{runtimes.__name__}:open_jax", arguments, _OF_JAX, count, size)
        rows.append(Row(subject.name, "JAX", "float32", order))
        if not subject.views.plain:
            teaching = Order(f"{runtimes.__name__}:open_teaching", arguments | views, _OF_JAX, count, size, (LABELS,))
            rows.append(Row(subject.name, "JAX", "float32", teaching, teaching=subject.teaching))
    return rows, []


def _bound(threads: list[int]) -> list[int]:
    """Those that jax can be held to: it takes all cores that its process may use."""
    return threads if latency.binds() else threads[-1:]


def _exported(subject: Subject, size, settings: CardSettings, folder: pathlib.Path) -> tuple[list[Row], list[dict]]:
    """A row for each format and count of threads."""
    rows, left_out = [], []
    for word in settings.formats:
        name, _, dtype = word.partition(":")
        (title, running), dtype = runtimes.FORMATS[name], dtype or next(iter(export.CELLS[name]))
        try:
            export.require_packages(name)
        except UserError as error:
            left_out.append({"runtime": title, "why": str(error)})
            continue
        try:
            files = _files(subject, size, name, dtype, settings, folder)
        except UserError as error:  # the format has no such operation, or there are no pictures for int8
            left_out.append({"network": subject.name, "runtime": title, "dtype": dtype, "why": str(error)})
            continue
        imports = (*running, f"{export.__name__}.{name}")
        for count in _bound(settings.thread_counts()) if name == "stablehlo" else settings.thread_counts():
            arguments = {"files": files, "format_name": name, "threads": count}
            order = Order(f"{runtimes.__name__}:open_file", arguments, imports, count, size)
            rows.append(Row(subject.name, title, dtype, order, os.path.getsize(files[LABELS])))
    return rows, left_out


def _files(
    subject: Subject, size, name: str, dtype: str, settings: CardSettings, folder: pathlib.Path
) -> dict[str, str]:
    """{output: path} of a network's exported files."""
    found, files = subject.found, {}
    calibration = [picture[None] for picture in settings.calibration(subject, size)] if dtype == "int8" else []
    if dtype == "int8" and not calibration:
        raise UserError(
            "int8 is calibrated on pictures of the target, and there are none; name some: --calibrate=FOLDER"
        )
    variables = weights.load(found.place, found.model)
    for output in (LABELS, LOGITS):
        program = NetworkProgram(found.model, variables, size[::-1], (output,))
        files[output] = str(folder / f"{output}_{dtype}.{name}")
        pathlib.Path(files[output]).write_bytes(export.module(name).convert(program, dtype, calibration))
    return files


def _of_jax(rows: Sequence[Row], found: Sequence[Measured], row: Row) -> np.ndarray | None:
    """Labels that jax gives of what a row is about; None of a teacher's several views, or where jax failed."""
    for other, one in zip(rows, found, strict=True):
        if other.network == row.network and other.runtime == "JAX" and not (other.teaching or row.teaching):
            return one.labels
    return None


def _row(row: Row, found: Measured, reference: np.ndarray | None) -> dict:
    """As the card tells it."""
    starts = {name: [one[name] for one in found.starts] for name in ("load", "first", "peak")}
    cold = [load + first for load, first in zip(starts["load"], starts["first"], strict=True)]
    return {
        "network": row.network,
        "teaching": row.teaching,
        "runtime": row.runtime,
        "dtype": row.dtype,
        "threads": row.order.threads,
        "file_mb": row.file_bytes and round(row.file_bytes / 1e6, 3),
        "warm_ms": {output: latency.percentiles(seconds) for output, seconds in found.seconds.items()},
        "cold_ms": latency.percentiles(cold)
        | {f"{of}_p50": latency.percentiles(starts[of])["p50"] for of in ("load", "first")},
        "peak_memory_mb": round(float(np.median(starts["peak"])) / 1e6, 1),
        "labels_as_jax": None if reference is None else float(f"{np.mean(found.labels == reference):.7g}"),
    }


def _failed(row: Row, found: Measured) -> dict:
    return {
        "network": row.network, "runtime": row.runtime, "dtype": row.dtype, "threads": row.order.threads,
        "why": found.problem,
    }  # fmt: skip


def _left_out_line(one: Mapping) -> str:
    what = [one["runtime"], *([one["dtype"]] if one.get("dtype", "float32") != "float32" else [])]
    what += [f"of {one['network']}"] if one.get("network") else []
    what += [f"({one['threads']} threads)"] if one.get("threads") else []
    return f"left out: {' '.join(what)}: {one['why']}"


def _machine(load: float | None) -> dict:
    return {
        "cpu": _cpu(),
        "cores": len(latency.usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "load": {"before": load, "after": _load()},
        "python": platform.python_version(),
        "versions": records.versions(_VERSIONS),
    }


def _load() -> float | None:
    """Of the last minute, as uptime has it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
