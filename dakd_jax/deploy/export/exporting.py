"""From a network to a file that proves itself: converted, run in its own runtime, compared, and only then written."""

import dataclasses
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np

import dakd_jax
from dakd_jax.basics import atomic_files, records
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy import export as cells
from dakd_jax.deploy.export import artefact, proof
from dakd_jax.deploy.export.artefact import Artefact
from dakd_jax.deploy.export.program import LABELS, LEAST_SIDE, PROBABILITIES, NetworkProgram
from dakd_jax.deploy.loaded import LoadedNetwork

MOST_PIXELS = 2**25
_VERSIONS = ("jax", "onnx", "onnxruntime", "ai-edge-litert", "tensorflow-cpu", "tensorflow")

Labelled = tuple[np.ndarray, np.ndarray | None]  # uint8 [H, W, 3], uint8 [H, W] or None


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes:
      format: a key of CELLS.
      dtype: one of DTYPES.
      size: (width, height), None for any.
      probabilities: whether they are an output too.
    """

    format: str = "onnx"
    dtype: str = "float32"
    size: tuple[int, int] | None = None
    probabilities: bool = False


@dataclasses.dataclass(frozen=True)
class ExportPictures:
    """What an export is calibrated and compared on, each made at the size (width, height) that is asked for.

    Attributes:
      candidates: for the golden pair; of no data set.
      calibration: unlabelled pictures of the target.
      compared: pictures, with labels where there are any.
      said: where the candidates come from.
    """

    candidates: Callable[[tuple[int, int]], Iterable[np.ndarray]]
    calibration: Callable[[tuple[int, int]], Sequence[np.ndarray]] = lambda size: ()
    compared: Callable[[tuple[int, int]], Iterable[Labelled]] = lambda size: ()
    said: str = "generated"


GENERATED = ExportPictures(lambda size: proof.generated(size[::-1]))


def export(
    network: LoadedNetwork, wanted: Wanted, output: pathlib.Path, pictures: ExportPictures = GENERATED
) -> Artefact:
    """Writes a network as a file (a folder for savedmodel), whole or not at all.

    Raises:
      UserError: there is no such export, the network cannot be one, or it does not say what the network says; or the
        output cannot be written.
    """
    cells.check(wanted.format, wanted.dtype, dynamic=wanted.size is None)
    _check_output(output, wanted)
    size = wanted.size or network.size
    if min(size) < LEAST_SIDE or size[0] * size[1] > MOST_PIXELS:
        raise UserError(
            f"--size={size[0]}x{size[1]}: expected at least {LEAST_SIDE} pixels on each side, and {MOST_PIXELS} in all "
            "at most"
        )
    calibration = [picture[None] for picture in pictures.calibration(size)] if wanted.dtype == "int8" else []
    if wanted.dtype == "int8" and not calibration:
        raise UserError(
            "int8 is calibrated on pictures of the target, and there are none; name some: --calibrate=FOLDER"
        )
    outputs = (LABELS, PROBABILITIES) if wanted.probabilities else (LABELS,)
    program = NetworkProgram(
        network.model, jax.device_get(network.variables), wanted.size and wanted.size[::-1], outputs
    )
    with tempfile.TemporaryDirectory(prefix="dakd_export_") as folder:
        converted = _converted(program, wanted, calibration, pathlib.Path(folder, "converted"))
        run = cells.module(wanted.format).runner(converted)
        record = _record(network, wanted, outputs, _proof(network, wanted, run, size, pictures))
        try:
            _publish(converted, record, wanted, output)
        except OSError as error:
            raise UserError(
                f"cannot write {error.filename or output}: {error.strerror}; make room or choose another --output"
            ) from error
    made = artefact.read(output)
    artefact.remember(made.record["sha256"])
    return made


def _check_output(output: pathlib.Path, wanted: Wanted) -> None:
    ending = cells.ENDINGS[wanted.format]
    if output.suffix.lower() != ending and ending:
        raise UserError(f"--output={output}: a file of {wanted.format} ends in {ending}")
    if output.is_dir() and (ending or not (output / artefact.IN_FOLDER).is_file() and any(output.iterdir())):
        raise UserError(f"--output={output} is a folder that is there already; name a new one")


def _converted(program: NetworkProgram, wanted: Wanted, calibration: Sequence[np.ndarray], folder: pathlib.Path):
    """The file's bytes without a record, or the folder's path."""
    module = cells.module(wanted.format)
    if cells.ENDINGS[wanted.format]:
        return module.convert(program, wanted.dtype, calibration)
    module.convert(program, wanted.dtype, calibration, folder)
    return folder


def _proof(network, wanted: Wanted, run: proof.Runner, size, pictures: ExportPictures) -> dict:
    """The record's part that proves it. Raises UserError where a float32 export says something else."""
    sizes = [size] if wanted.size else [size, _odd(size)]
    pairs = [proof.golden_pair(network, pictures.candidates(one)) for one in sizes]
    agreement = proof.agreement(run, pairs)
    if wanted.dtype == "float32" and agreement < proof.LEAST:
        raise UserError(
            f"{wanted.format} says of {agreement:.3%} of a picture's pixels what the network says, and "
            f"{proof.LEAST:.1%} is the least; nothing was written: try another --format, and report it"
        )
    scored = proof.scored(network, run, pictures.compared(size))
    golden = {
        "pairs": [pair.packed() for pair in pairs],
        "classes": min(len(np.unique(pair.labels)) for pair in pairs),
        "from": pictures.said,
        "agreement": agreement,
    }
    return {"golden": golden, "pictures": scored._asdict() if scored.pictures else None}


def _odd(size: tuple[int, int]) -> tuple[int, int]:
    """Another size, no multiple of a stride, of an export that takes any."""
    return tuple(max(LEAST_SIDE, side * 3 // 4) | 1 for side in size)


def _record(network: LoadedNetwork, wanted: Wanted, outputs: Sequence[str], of_proof: Mapping) -> dict:
    found = network.found
    return records.plain(
        {
            "format": wanted.format,
            "dtype": wanted.dtype,
            "size": wanted.size,
            "training_size": network.size,
            "outputs": outputs,
            "classes": network.classes,
            "palette": network.colours.tolist(),
            "bit_depth": found.bit_depth,
            "licences": dict(network.licences),
            "network": found.identity(),
            "made_with": {"dakd_jax": dakd_jax.__version__} | records.versions(_VERSIONS),
            **of_proof,
        }
    )


def _publish(converted, record: dict, wanted: Wanted, output: pathlib.Path) -> None:
    """Puts the file, or the folder, in its place. Raises OSError."""
    if isinstance(converted, bytes):
        content = cells.module(wanted.format).with_record(converted, artefact.text(record))
        atomic_files.write_bytes(output, artefact.signed(content))
        return
    beside = output.with_name(f".{output.name}.{os.getpid()}-{secrets.token_hex(8)}.tmp")
    try:
        shutil.copytree(converted, beside)
        artefact.sign_folder(beside, record)
        if output.exists():
            shutil.rmtree(output)
        os.replace(beside, output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def summary(made: Artefact) -> list[str]:
    """Lines for people: what the file is, and what it proved."""
    record, golden = made.record, made.record["golden"]
    size = "any size" if made.size is None else "x".join(map(str, made.size))
    wanted, found = min(proof.CLASSES, len(record["classes"])), golden["classes"]
    short = "" if found >= wanted else f" (the most that were found; {wanted} were looked for)"
    lines = [
        f"{record['format']} {record['dtype']}, {size}, {_megabytes(made.path)}: {', '.join(record['outputs'])}",
        f"golden pair ({golden['from']}, {found} classes{short}): {golden['agreement']:.3%} of the labels agree",
    ]
    if pictures := record["pictures"]:
        miou = pictures["miou"]
        scored = f"; mIoU {miou['export']:.2f}, the network's {miou['network']:.2f}" if miou else ""
        lines.append(f"{pictures['pictures']} pictures: {pictures['agreement']:.3%} of the labels agree{scored}")
    return lines


def _megabytes(path: pathlib.Path) -> str:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
