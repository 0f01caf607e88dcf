"""TFLite (LiteRT): one file for phones and small boards."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from dakd_jax.deploy.export.program import INPUT, LABELS, PROBABILITIES, Program

ENDING = ".tflite"
PACKAGES = ("tensorflow", "ai_edge_litert")


def convert(program: Program, dtype: str, calibration: Iterable[np.ndarray]) -> bytes:
    """The model in 'float32', 'float16' (weights alone, computed in float32 on a CPU) or 'int8'.

    Args:
      calibration: uint8 [1, height, width, 3] pictures, for int8.
    """
    import tensorflow as tf

    with _quiet():
        module = _module(program)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.answer.get_concrete_function()], module)
        if dtype != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if dtype == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if dtype == "int8":
            converter.representative_dataset = lambda: ({INPUT: picture} for picture in calibration)
        return converter.convert()


def _module(program: Program):
    """A tf.Module whose `answer` gives the outputs by name.

    The network is jax's; upsampling is TensorFlow's own operation, which TFLite has too.
    """
    import tensorflow as tf
    from jax.experimental import jax2tf

    logits = jax2tf.convert(program.logits(native=True), with_gradient=False)
    height, width = program.size

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.uint8, INPUT)], autograph=False)
        def answer(self, picture):
            found = logits(picture)
            larger = [program.stride * side for side in found.shape[1:3]]
            full = tf.compat.v1.image.resize_bilinear(found, larger, align_corners=True)[:, :height, :width]
            made = {
                LABELS: lambda: tf.cast(tf.argmax(full, axis=-1, output_type=tf.int32), tf.uint8),
                PROBABILITIES: lambda: tf.nn.softmax(full),
            }
            return {name: made[name]() for name in program.outputs}

    return Module()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter tells on success."""
    level = logging.getLogger("tensorflow").level, logging.getLogger("absl").level
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for name in ("tensorflow", "absl"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, one in zip(("tensorflow", "absl"), level, strict=True):
                logging.getLogger(name).setLevel(one)


def runner(source: bytes, threads: int = 0) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From a picture uint8 [1, height, width, 3] to the outputs by name, by LiteRT on the CPU; as onnx.runner."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=source, num_threads=threads or os.cpu_count())
    answer = interpreter.get_signature_runner()
    return lambda picture: answer(**{INPUT: picture})
