"""From a network to a file that proves itself: converted, run in its own runtime, compared, and only then written."""

import dataclasses
import importlib.metadata
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
from dakd_jax.deploy.export import artefact, proof
from dakd_jax.deploy.export.artefact import FORMATS, Artefact
from dakd_jax.deploy.export.program import LABELS, LEAST_SIDE, PROBABILITIES, Program
from dakd_jax.deploy.loaded import LoadedNetwork

DTYPES = ("float32", "float16", "bfloat16", "int8")
# What there is: {format: {dtype: whether the size may be left open}}.
CELLS: dict[str, dict[str, bool]] = {
    "stablehlo": {"float32": True, "bfloat16": True},
    "onnx": {"float32": True, "float16": True, "int8": True},
    "tflite": {"float32": False, "float16": False, "int8": False},
    "savedmodel": {"float32": False},
}
_VERSIONS = ("jax", "onnx", "onnxruntime", "ai-edge-litert", "tensorflow-cpu", "tensorflow")

Labelled = tuple[np.ndarray, np.ndarray | None]  # uint8 [H, W, 3], uint8 [H, W] or None


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes:
      format: one of FORMATS.
      dtype: one of DTYPES.
      size: (width, height), None for any.
      probabilities: whether they are an output too.
    """

    format: str = "onnx"
    dtype: str = "float32"
    size: tuple[int, int] | None = None
    probabilities: bool = False

    def check(self) -> None:
        """Raises UserError for what there is not, with the nearest that there is, or where packages are missing."""
        if self.format not in CELLS:
            raise UserError(f"--format={self.format}: expected one of {', '.join(FORMATS)}")
        if self.dtype not in DTYPES:
            raise UserError(f"--dtype={self.dtype}: expected one of {', '.join(DTYPES)}")
        cells = CELLS[self.format]
        if self.dtype not in cells:
            raise UserError(f"{self.format} in {self.dtype} cannot be exported; nearest: {self._nearest_dtype()}")
        if self.size is None and not cells[self.dtype]:
            raise UserError(
                f"{self.format} wants a size, as --size=1024x512; for any size: --format=onnx --dtype={self.dtype}"
            )
        artefact.require_packages(self.format)

    def _nearest_dtype(self) -> str:
        half = {"float16": "bfloat16", "bfloat16": "float16"}.get(self.dtype)
        if half in CELLS[self.format]:
            return f"--format={self.format} --dtype={half}"
        other = next(name for name in ("onnx", "stablehlo") if self.dtype in CELLS[name])
        return f"--format={other} --dtype={self.dtype}, or --format={self.format} --dtype={next(iter(CELLS[self.format]))}"


@dataclasses.dataclass(frozen=True)
class Pictures:
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


GENERATED = Pictures(lambda size: proof.generated(size[::-1]))


def export(network: LoadedNetwork, wanted: Wanted, output: pathlib.Path, pictures: Pictures = GENERATED) -> Artefact:
    """Writes a network as a file (a folder for savedmodel), whole or not at all.

    Raises:
      UserError: there is no such export, the network cannot be one, or it does not say what the network says; or the
        output cannot be written.
    """
    wanted.check()
    _check_output(output, wanted)
    size = wanted.size or network.size
    if min(size) < LEAST_SIDE:
        raise UserError(f"--size={size[0]}x{size[1]}: at least {LEAST_SIDE} pixels on each side")
    calibration = [picture[None] for picture in pictures.calibration(size)] if wanted.dtype == "int8" else []
    if wanted.dtype == "int8" and not calibration:
        raise UserError("int8 is calibrated on pictures of the target, and there are none; name some: --calibrate=FOLDER")
    outputs = (LABELS, PROBABILITIES) if wanted.probabilities else (LABELS,)
    program = Program(network.model, jax.device_get(network.variables), wanted.size and wanted.size[::-1], outputs)
    with tempfile.TemporaryDirectory(prefix="dakd_export_") as folder:
        converted = _converted(program, wanted, calibration, pathlib.Path(folder, "converted"))
        run = artefact.format_module(wanted.format).runner(converted)
        record = _record(network, wanted, outputs, _proof(network, wanted, run, size, pictures))
        try:
            _publish(converted, record, wanted, output)
        except OSError as error:
            raise UserError(
                f"cannot write {error.filename or output}: {error.strerror}; make room or choose another --output"
            ) from error
    return artefact.read(output)


def _check_output(output: pathlib.Path, wanted: Wanted) -> None:
    ending = artefact.format_module(wanted.format).ENDING
    if output.suffix.lower() != ending and ending:
        raise UserError(f"--output={output}: a file of {wanted.format} ends in {ending}")
    if output.is_dir() and (ending or not (output / artefact.IN_FOLDER).is_file() and any(output.iterdir())):
        raise UserError(f"--output={output} is a folder that is there already; name a new one")


def _converted(program: Program, wanted: Wanted, calibration: Sequence[np.ndarray], folder: pathlib.Path):
    """The file's bytes without a record, or the folder's path."""
    module = artefact.format_module(wanted.format)
    if module.ENDING:
        return module.convert(program, wanted.dtype, calibration)
    module.convert(program, wanted.dtype, calibration, folder)
    return folder


def _proof(network, wanted: Wanted, run: proof.Runner, size, pictures: Pictures) -> dict:
    """The record's part that proves it. Raises UserError where a float32 export says something else."""
    sizes = [size] if wanted.size else [size, _odd(size)]
    pairs = [proof.golden_pair(network, pictures.candidates(one)) for one in sizes]
    agreement = proof.agreement(run, pairs)
    if wanted.dtype == "float32" and agreement < proof.LEAST:
        raise UserError(
            f"{wanted.format} says of {agreement:.3%} of a picture's pixels what the network says, and {proof.LEAST:.1%} "
            "is the least; nothing was written: try another --format, and report it"
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
            "made_with": {"dakd_jax": dakd_jax.__version__} | _versions(),
            **of_proof,
        }
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _publish(converted, record: dict, wanted: Wanted, output: pathlib.Path) -> None:
    """Puts the file, or the folder, in its place. Raises OSError."""
    if isinstance(converted, bytes):
        content = artefact.format_module(wanted.format).with_record(converted, artefact.text(record))
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
