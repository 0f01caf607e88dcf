"""TensorFlow's SavedModel: a folder for TensorFlow and its servers. Loading one runs what is in it."""

import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from dakd_jax.deploy import export
from dakd_jax.deploy.export.program import INPUT, NetworkProgram


def convert(program: NetworkProgram, dtype: str, calibration: Iterable[np.ndarray], folder: pathlib.Path) -> None:
    """Writes the model to a folder, in float32; it runs on CPUs and GPUs."""
    with export.quiet():
        import tensorflow as tf
        from jax.experimental import jax2tf

        answers = jax2tf.convert(
            program.answers(native=False), with_gradient=False, native_serialization_platforms=("cpu",)
        )
        module = tf.Module()
        picture = tf.TensorSpec(program.shape.shape, tf.uint8, INPUT)
        module.answer = tf.function(lambda picture: answers(picture), input_signature=[picture], autograph=False)
        tf.saved_model.save(module, folder, signatures=module.answer.get_concrete_function())


def runner(source: pathlib.Path, threads: int = 0) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From a picture uint8 [1, height, width, 3] to the outputs by name, by TensorFlow with threads of its own."""
    with export.quiet():
        import tensorflow as tf

        module = tf.saved_model.load(source)
    answer = module.signatures["serving_default"]

    def run(picture: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.asarray(found) for name, found in answer(**{INPUT: tf.constant(picture)}).items()}

    run.module = module  # its variables live as long as it does
    return run
