"""ONNX: one file for ONNX Runtime and most other runtimes."""

from collections.abc import Callable, Iterable

import jax
import numpy as np

from dakd_jax.deploy.export import onnx_graph
from dakd_jax.deploy.export.onnx_graph import Graph, Value, Writer
from dakd_jax.deploy.export.program import INPUT, LABELS, LOGITS, PROBABILITIES, NetworkProgram

# With the activations: one scale then serves a convolution and what limits it. Without, 89 % of labels agreed, not 97.
_QUANTISED = ["Conv", "Relu", "Clip", "Add", "MaxPool"]
_IR_VERSION = 10  # of ONNX 1.16: older runtimes read it


def convert(program: NetworkProgram, dtype: str, calibration: Iterable[np.ndarray]) -> bytes:
    """The model in 'float32', 'float16' or 'int8'.

    Args:
      calibration: uint8 [1, height, width, 3] pictures, for int8.
    """
    model = _float32(program)
    if dtype == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True, op_block_list=["Resize", "ArgMax", "Softmax"])
    if dtype == "int8":
        model = _int8(model, calibration)
    return model.SerializeToString()


def _float32(program: NetworkProgram):
    from onnx import TensorProto, checker, helper, numpy_helper

    graph, given = Graph(), program.shape  # once: its symbols are others each time
    shape = given.shape
    picture = graph.knows(Value(INPUT, shape))
    calls = {"upsample_any_size": _upsample_any_size}
    traced = jax.make_jaxpr(program.logits(native=True, kept=calls))(given)
    (logits,) = Writer(graph, calls).write(traced, [picture])
    outputs = _answers(graph, program, picture, logits)
    sides = [str(side) if program.size is None and i in (1, 2) else int(side) for i, side in enumerate(shape)]
    kinds = {
        LABELS: (TensorProto.UINT8, sides[:3]),
        PROBABILITIES: (TensorProto.FLOAT, [*sides[:3], program.model.num_classes]),
        LOGITS: (TensorProto.FLOAT, [side if isinstance(side, int) else str(side) for side in logits.shape]),
    }
    made = helper.make_graph(
        graph.nodes,
        "segmenter",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, sides)],
        [helper.make_tensor_value_info(name, *kinds[name]) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    opset = [helper.make_opsetid("", onnx_graph.OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=_IR_VERSION, producer_name="dakd_jax")
    checker.check_model(model, full_check=True)
    return model


def _answers(graph: Graph, program: NetworkProgram, picture: Value, logits: Value) -> list[str]:
    """Adds what comes after the logits; names of the outputs."""
    from onnx import TensorProto

    if program.outputs == (LOGITS,):
        graph.node("Identity", graph.laid(logits, False))
        graph.name_last(LOGITS)
        return [LOGITS]
    height, width = picture.shape[1:3]
    full = _resized(graph, logits, program.stride)
    if full.shape[1:3] != (height, width):
        ends, axes = graph.sizes([height, width]), graph.constant(np.array([2, 3], np.int64))
        starts = graph.constant(np.zeros(2, np.int64))
        full = Value(graph.node("Slice", full.name, starts, ends, axes), full.shape, True)
    if LABELS in program.outputs:
        found = graph.node("ArgMax", full.name, axis=1, keepdims=0)
        graph.node("Cast", found, to=TensorProto.UINT8)
        graph.name_last(LABELS)
    if PROBABILITIES in program.outputs:
        graph.node("Transpose", graph.node("Softmax", full.name, axis=1), perm=onnx_graph.TO_CHANNELS_LAST)
        graph.name_last(PROBABILITIES)
    return list(program.outputs)


def _upsample_any_size(graph: Graph, inputs: list[Value], equation) -> Value:
    (inner,), (outer,) = equation.invars, equation.outvars
    factor = next(by for by in range(1, 65) if by * inner.aval.shape[1] == outer.aval.shape[1])
    return _resized(graph, inputs[0], factor)


def _resized(graph: Graph, x: Value, factor: int) -> Value:
    """As resizing.upsample_aligned."""
    scales = graph.constant(np.array([1, 1, factor, factor], np.float32))
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    batch, height, width, channels = x.shape
    name = graph.node("Resize", graph.laid(x, True), "", scales, **how) if factor > 1 else graph.laid(x, True)
    return graph.knows(Value(name, (batch, factor * height, factor * width, channels), True))


def _int8(model, calibration: Iterable[np.ndarray]):
    """Weights and values of convolutions, sums and poolings in 8 bits; what surrounds the network in float32."""
    import logging
    import pathlib
    import tempfile

    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self._pictures = iter(calibration)

        def get_next(self):
            picture = next(self._pictures, None)
            return None if picture is None else {INPUT: picture}

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="dakd_export_") as folder:
        path, made = pathlib.Path(folder, "float32.onnx"), pathlib.Path(folder, "int8.onnx")
        onnx.save(model, path)
        quantization.quantize_static(
            path,
            made,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(made)


def with_record(content: bytes, text: str) -> bytes:
    """A model with a record among its metadata."""
    import onnx

    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {"dakd_export": text})
    return model.SerializeToString()


def runner(source: bytes, threads: int = 0) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """From a picture uint8 [1, height, width, 3] to the outputs by name, by ONNX Runtime on the CPU.

    Args:
      source: the file's bytes.
      threads: 0 for as many as there are cores.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda picture: dict(zip(names, session.run(None, {INPUT: picture}), strict=True))
