"""What is measured: networks in jax as predict runs them, and as exported files in their own runtimes.

An opener, which the worker calls in its fresh process, gives a function of one picture uint8 [1, H, W, 3] that returns
the labels uint8 [H, W] or [1, H, W], or the logits, as numpy.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from dakd_jax.deploy import export
from dakd_jax.deploy.export.program import LABELS, LOGITS

# {format: (title of its runtime, modules that running it needs)}
FORMATS = {
    "onnx": ("ONNX Runtime", ("onnxruntime",)),
    "tflite": ("LiteRT", ("ai_edge_litert.interpreter",)),
    "stablehlo": ("StableHLO in jax", ()),
}

Run = Callable[[np.ndarray], np.ndarray]


def open_file(files: Mapping[str, str], format_name: str, threads: int, output: str) -> Run:
    """An exported file.

    Args:
      files: {output: path}.
    """
    run = export.module(format_name).runner(pathlib.Path(files[output]).read_bytes(), threads)
    return lambda picture: run(picture)[output]


def open_jax(path: str, how: Mapping, output: str) -> Run:
    """A network as dakd_jax.load and predict run it; `how` as of finding.find."""
    from dakd_jax.deploy import finding, full_size
    from dakd_jax.deploy.loaded import LoadedNetwork

    found = finding.find(path, **how)
    if output == LOGITS:
        return _logits(found)
    network = LoadedNetwork(found)

    def run(picture: np.ndarray) -> np.ndarray:
        return network.answers(picture, [picture.shape[1:3]], [full_size.LABELS])[0][full_size.LABELS]

    return run


def _logits(found) -> Run:
    import jax

    from dakd_jax.models import segmenter
    from dakd_jax.stages import weights

    variables = jax.device_put(weights.load(found.place, found.model))
    logits = jax.jit(lambda variables, pictures: segmenter.forward(found.model, variables, pictures)[0].main)
    return lambda picture: np.asarray(logits(variables, picture))


def open_teaching(path: str, how: Mapping, scales: list[float], mirror: bool, output: str) -> Run:
    """A teacher as it teaches: the mean of what it says of several views of a picture."""
    import jax
    import jax.numpy as jnp

    from dakd_jax.deploy import finding
    from dakd_jax.stages import weights
    from dakd_jax.training import teaching
    from dakd_jax.training.step import passes

    if output != LABELS:
        raise ValueError("what a teacher says of several views has no logits")
    found = finding.find(path, **how)
    variables = jax.device_put(weights.load(found.place, found.model))
    views = teaching.Views(mirror, tuple(scales))

    @functools.partial(jax.jit, static_argnames=("size",))
    def answers(variables, pictures, size):
        def once(pictures):
            return passes.outputs_of(found.model, variables, pictures, "running")[0]

        said = teaching.answers(once, pictures, size, views)
        return jnp.argmax(said.log_probs["main"], axis=-1).astype(jnp.uint8)

    return lambda picture: np.asarray(answers(variables, picture, picture.shape[1:3]))
