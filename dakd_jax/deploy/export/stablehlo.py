"""StableHLO, as jax.export writes it: one file for jax, on CPUs and GPUs, and for compilers that read it."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.export.program import NetworkProgram

PLATFORMS = ("cpu", "cuda")


def convert(program: NetworkProgram, dtype: str, calibration: Iterable[np.ndarray]) -> bytes:
    """The model with convolutions in 'float32' or 'bfloat16'; for each platform its own form of depthwise ones."""
    how = {"native": False, "dtype": None if dtype == "float32" else jnp.dtype(dtype)}
    return bytes(jax.export.export(jax.jit(program.answers(**how)), platforms=PLATFORMS)(program.shape).serialize())


def with_record(content: bytes, text: str) -> bytes:
    """A model with a record in an archive at its end, which its readers pass over."""
    return artefact.with_zip(content, text)


def runner(source: bytes, threads: int = 0) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From a picture uint8 [1, height, width, 3] to the outputs by name, by jax; `threads` are jax's own."""
    answers = jax.jit(jax.export.deserialize(bytearray(source)).call)
    return lambda picture: {name: np.asarray(found) for name, found in answers(picture).items()}
