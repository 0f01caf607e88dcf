"""TFLite (LiteRT): one file for phones and small boards."""

import os
from collections.abc import Callable, Iterable

import numpy as np

from dakd_jax.deploy import export
from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.export.program import INPUT, LABELS, LOGITS, PROBABILITIES, NetworkProgram


def convert(program: NetworkProgram, dtype: str, calibration: Iterable[np.ndarray]) -> bytes:
    """The model in 'float32', 'float16' (weights alone, computed in float32 on a CPU) or 'int8'.

    Args:
      calibration: uint8 [1, height, width, 3] pictures, for int8.
    """
    with export.quiet():
        import tensorflow as tf

        module = _module(program)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.answer.get_concrete_function()], module)
        if dtype != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if dtype == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if dtype == "int8":
            converter.representative_dataset = lambda: ({INPUT: picture} for picture in calibration)
        return converter.convert()


def _module(program: NetworkProgram):
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
                LOGITS: lambda: found,
            }
            return {name: made[name]() for name in program.outputs}

    return Module()


def with_record(content: bytes, text: str) -> bytes:
    """A model with a record in an archive at its end, which its readers pass over."""
    return artefact.with_zip(content, text)


def runner(source: bytes, threads: int = 0) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From a picture uint8 [1, height, width, 3] to the outputs by name, by LiteRT on the CPU; as onnx.runner."""
    with export.quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=source, num_threads=threads or os.cpu_count())
        interpreter.allocate_tensors()
        answer = interpreter.get_signature_runner()
    return lambda picture: answer(**{INPUT: picture})
