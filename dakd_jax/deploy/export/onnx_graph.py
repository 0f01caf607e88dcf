"""From a traced function to the nodes of an ONNX graph, pictures as [B, C, H, W].

jax keeps pictures as [B, H, W, C], ONNX's convolutions want channels first: a value is turned once, where it begins,
and every operation that can works on it as it lies. Of the converters that could be had one (jax2onnx 0.12.5) turned
each convolution's input and output and knew no size that is not fixed.
"""

import dataclasses
import string
from collections import Counter
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.extend import core

from dakd_jax.basics.errors import UserError

OPSET = 18
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

# Operations of as many inputs as they have, element by element.
_ELEMENTWISE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "neg": "Neg",
    "exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid", "sqrt": "Sqrt", "abs": "Abs", "sign": "Sign",
    "floor": "Floor", "ceil": "Ceil", "erf": "Erf", "sin": "Sin", "cos": "Cos", "eq": "Equal", "lt": "Less",
    "gt": "Greater", "le": "LessOrEqual", "ge": "GreaterOrEqual", "and": "And", "or": "Or", "not": "Not",
    "stop_gradient": "Identity", "copy": "Identity", "copy_p": "Identity",
}  # fmt: skip
_REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}


@dataclasses.dataclass(frozen=True)
class Value:
    """A value in the graph.

    Attributes:
      name: of the output of a node.
      shape: as jax has it, also where the value lies channels first; numbers, or jax's symbols.
      first: whether it lies as [B, C, H, W].
    """

    name: str
    shape: tuple
    first: bool = False

    @property
    def axes(self) -> tuple[int, ...]:
        """Where each of jax's axes lies."""
        order = TO_CHANNELS_FIRST if self.first else range(len(self.shape))
        return tuple(np.argsort(order))


class Graph:
    """Nodes and constants that were made so far."""

    def __init__(self):
        self.nodes, self.constants = [], {}
        self._sizes: dict = {}  # {symbol: (tensor, axis) that has this size}
        self._made = Counter()

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        """Adds a node of one output; the output's name."""
        from onnx import helper

        name = self._name(kind)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """The name of an array."""
        name = self._name("constant")
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def name_last(self, name: str) -> None:
        """Calls the output of the last node so."""
        self.nodes[-1].output[0] = name

    def laid(self, one, first: bool) -> str:
        """The name of a tensor or array, laid as it is wanted."""
        if isinstance(one, Value):
            if len(one.shape) != 4 or one.first == first:
                return one.name
            return self.node("Transpose", one.name, perm=TO_CHANNELS_FIRST if first else TO_CHANNELS_LAST)
        return self.constant(one.transpose(TO_CHANNELS_FIRST) if first and one.ndim == 4 else one)

    def _name(self, kind: str) -> str:
        self._made[kind] += 1
        return f"{kind}_{self._made[kind]}"

    def knows(self, tensor: Value) -> Value:
        """The tensor, whose sizes others may ask for from now on."""
        for axis, size in enumerate(tensor.shape):
            if not isinstance(size, int):
                self._sizes.setdefault(size, (tensor.name, tensor.axes[axis]))
        return tensor

    def sizes(self, wanted: Sequence) -> str:
        """int64 [N] of sizes, some of which are those of tensors that came before."""
        if all(isinstance(size, int | np.integer) for size in wanted):
            return self.constant(np.array(wanted, np.int64))
        parts = []
        for size in wanted:
            if isinstance(size, int | np.integer):
                parts.append(self.constant(np.array([size], np.int64)))
            elif size in self._sizes:
                name, axis = self._sizes[size]
                parts.append(self.node("Shape", name, start=axis, end=axis + 1))
            else:
                raise UserError(
                    f"a size of this network, {size}, cannot be said in ONNX; export it with a fixed --size"
                )
        return self.node("Concat", *parts, axis=0)


class Writer:
    """Writes equations into a graph, one by one.

    Args:
      calls: {name of a jitted function that is kept whole: what writes it, of (graph, input tensors, equation)}.
    """

    def __init__(self, graph: Graph, calls: dict[str, Callable] | None = None):
        self._graph, self._calls = graph, calls or {}

    def write(self, closed, inputs: Sequence[Value]) -> list[Value]:
        """Outputs of a jaxpr with its constants, as jax.make_jaxpr gives it."""
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
        values |= dict(zip(jaxpr.invars, inputs, strict=True))
        self._readers = Counter(one for e in jaxpr.eqns for one in e.invars if not isinstance(one, core.Literal))

        def read(one):
            return np.asarray(one.val, one.aval.dtype) if isinstance(one, core.Literal) else values[one]

        for equation in jaxpr.eqns:
            found = self._equation(equation, [read(one) for one in equation.invars])
            values[equation.outvars[0]] = self._graph.knows(found)
        return [read(one) for one in jaxpr.outvars]

    def _equation(self, equation, inputs: list) -> Value:
        name = equation.primitive.name
        if name in ("jit", "pjit") and equation.params["name"] in self._calls:
            return self._calls[equation.params["name"]](self._graph, inputs, equation)
        if name in _ELEMENTWISE:
            return self._elementwise(_ELEMENTWISE[name], inputs, equation)
        write = getattr(self, f"_{name}", None)
        if write is None:
            if name in _REDUCTIONS:
                return self._reduction(_REDUCTIONS[name], inputs[0], equation)
            raise UserError(
                f"the network uses jax's operation {name}, which the ONNX export cannot write; "
                "export it as tflite, savedmodel or stablehlo"
            )
        return write(*inputs, equation=equation)

    def _elementwise(self, kind: str, inputs: list, equation, **attributes) -> Value:
        shape = equation.outvars[0].aval.shape
        first = any(isinstance(one, Value) and one.first for one in inputs)
        if kind in ("Max", "Min") and (found := self._clipped(kind, inputs, shape)):
            return found
        if kind == "Add" and (found := self._with_bias(inputs, equation)):
            return found
        names = [self._graph.laid(one, first) for one in inputs]
        return Value(self._graph.node(kind, *names, **attributes), shape, first)

    def _with_bias(self, inputs: list, equation) -> Value | None:
        """A sum per channel as the bias of the convolution just before, which nothing else reads."""
        tensor, bias = inputs if isinstance(inputs[0], Value) else inputs[::-1]
        variable = equation.invars[0 if tensor is inputs[0] else 1]
        last = self._graph.nodes[-1]
        alone = last.op_type == "Conv" and last.output[0] == tensor.name and self._readers[variable] == 1
        if isinstance(bias, Value) or not alone or len(last.input) > 2 or bias.shape[:-1] != (1, 1, 1):
            return None
        last.input.append(self._graph.constant(bias.reshape(-1)))
        return tensor

    def _clipped(self, kind: str, inputs: list, shape) -> Value | None:
        """ReLU, and ReLU6, as nodes of their own: runtimes join these to the convolution before."""
        tensor, bound = inputs if isinstance(inputs[0], Value) else inputs[::-1]
        if isinstance(bound, Value) or bound.ndim:
            return None
        if kind == "Max" and bound == 0:
            return Value(self._graph.node("Relu", tensor.name), shape, tensor.first)
        last = self._graph.nodes[-1]
        if kind == "Min" and last.op_type == "Relu" and last.output[0] == tensor.name and bound > 0:
            self._graph.nodes.pop()
            low, high = self._graph.constant(np.zeros((), bound.dtype)), self._graph.constant(bound)
            return Value(self._graph.node("Clip", last.input[0], low, high), shape, tensor.first)
        return None

    def _conv_general_dilated(self, x, kernel, *, equation) -> Value:
        params, spec = equation.params, equation.params["dimension_numbers"]
        usual = spec.lhs_spec == spec.out_spec == TO_CHANNELS_FIRST and isinstance(kernel, np.ndarray)
        if not usual or set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
            raise UserError("the network has a convolution of another kind than ONNX export knows; export it as tflite")
        kernel = kernel.transpose(spec.rhs_spec)
        attributes = {
            "kernel_shape": kernel.shape[2:],
            "strides": params["window_strides"],
            "dilations": params["rhs_dilation"],
            "group": params["feature_group_count"],
        }
        attributes |= _padding(x, kernel, params)
        name = self._graph.node("Conv", self._graph.laid(x, True), self._graph.constant(kernel), **attributes)
        return Value(name, equation.outvars[0].aval.shape, True)

    def _reduce_window_max(self, x, *, equation) -> Value:
        params = equation.params
        sides = [params[name] for name in ("window_dimensions", "window_strides", "padding")]
        if len(x.shape) != 4 or any(side[0] != side[3] or side[0] not in (1, (0, 0)) for side in sides):
            raise UserError("the network pools over other axes than a picture's; export it as tflite")
        attributes = {"kernel_shape": sides[0][1:3], "strides": sides[1][1:3], "pads": _flat(sides[2][1:3])}
        return Value(
            self._graph.node("MaxPool", self._graph.laid(x, True), **attributes), equation.outvars[0].aval.shape, True
        )

    def _convert_element_type(self, x, *, equation) -> Value:
        from onnx import helper

        aval = equation.outvars[0].aval
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(aval.dtype))
        return Value(self._graph.node("Cast", x.name, to=kind), aval.shape, x.first)

    def _integer_pow(self, x, *, equation) -> Value:
        power = np.asarray(equation.params["y"], equation.outvars[0].aval.dtype)
        return Value(self._graph.node("Pow", x.name, self._graph.constant(power)), x.shape, x.first)

    def _square(self, x, *, equation) -> Value:
        return Value(self._graph.node("Mul", x.name, x.name), x.shape, x.first)

    def _rsqrt(self, x, *, equation) -> Value:
        return Value(self._graph.node("Reciprocal", self._graph.node("Sqrt", x.name)), x.shape, x.first)

    def _erfc(self, x, *, equation) -> Value:
        one = self._graph.constant(np.ones((), equation.outvars[0].aval.dtype))
        return Value(self._graph.node("Sub", one, self._graph.node("Erf", x.name)), x.shape, x.first)

    def _select_n(self, which, *cases, equation) -> Value:
        first = any(isinstance(one, Value) and one.first for one in (which, *cases))
        names = [self._graph.laid(one, first) for one in (which, *cases[::-1])]
        return Value(self._graph.node("Where", *names), equation.outvars[0].aval.shape, first)

    def _clamp(self, low, x, high, *, equation) -> Value:
        return Value(self._graph.node("Clip", x.name, *map(self._graph.constant, (low, high))), x.shape, x.first)

    def _reduction(self, kind: str, x, equation) -> Value:
        shape, axes = equation.outvars[0].aval.shape, self._graph.sizes(equation.params["axes"])
        return Value(self._graph.node(kind, self._graph.laid(x, False), axes, keepdims=0), shape)

    def _argmax(self, x, *, equation) -> Value:
        from onnx import helper

        aval = equation.outvars[0].aval
        (axis,) = equation.params["axes"]
        found = self._graph.node("ArgMax", x.name, axis=x.axes[axis], keepdims=0)
        if x.first and axis != 3:
            raise UserError("the network takes the largest value along another axis than its channels")
        return Value(self._graph.node("Cast", found, to=helper.np_dtype_to_tensor_dtype(aval.dtype)), aval.shape)

    def _pad(self, x, value, *, equation) -> Value:
        edges = equation.params["padding_config"]
        if any(between for _, _, between in edges) or not isinstance(value, np.ndarray):
            raise UserError("the network puts values between those of an array; export it as tflite")
        edges = [edges[i] for i in np.argsort(x.axes)]
        pads = self._graph.sizes([int(low) for low, _, _ in edges] + [int(high) for _, high, _ in edges])
        name = self._graph.node("Pad", x.name, pads, self._graph.constant(value), mode="constant")
        return Value(name, equation.outvars[0].aval.shape, x.first)

    def _slice(self, x, *, equation) -> Value:
        params = equation.params
        steps = params["strides"] or (1,) * len(x.shape)
        limits = zip(params["start_indices"], params["limit_indices"], steps, x.shape, strict=True)
        cut = [
            axis
            for axis, (start, end, step, size) in enumerate(limits)
            if not (start == 0 and end == size and step == 1)
        ]
        parts = [
            self._graph.sizes([side[axis] for axis in cut])
            for side in (params["start_indices"], params["limit_indices"])
        ]
        parts += [self._graph.sizes([x.axes[axis] for axis in cut]), self._graph.sizes([steps[axis] for axis in cut])]
        return Value(self._graph.node("Slice", x.name, *parts), equation.outvars[0].aval.shape, x.first)

    def _rev(self, x, *, equation) -> Value:
        axes = [x.axes[axis] for axis in equation.params["dimensions"]]
        starts, ends, steps = ([value] * len(axes) for value in (-1, np.iinfo(np.int64).min, -1))
        parts = [self._graph.sizes(part) for part in (starts, ends, axes, steps)]
        return Value(self._graph.node("Slice", x.name, *parts), x.shape, x.first)

    def _gather(self, x, indices, *, equation) -> Value:
        """Entries of one axis, in an order that is known."""
        numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
        axis, *more = numbers.collapsed_slice_dims
        others = tuple(other for other in range(len(x.shape)) if other != axis)
        whole = all(sizes[other] == x.shape[other] for other in others)
        known = isinstance(indices, np.ndarray) and indices.shape[1:] == (1,) and numbers.start_index_map == (axis,)
        if more or not whole or not known or numbers.offset_dims != others:
            raise UserError("the network looks values up by other values; export it as tflite, savedmodel or stablehlo")
        order = self._graph.constant(indices[:, 0].astype(np.int64))
        name = self._graph.node("Gather", x.name, order, axis=x.axes[axis])
        return Value(name, equation.outvars[0].aval.shape, x.first)

    def _concatenate(self, *parts, equation) -> Value:
        aval, axis = equation.outvars[0].aval, equation.params["dimension"]
        first = any(isinstance(one, Value) and one.first for one in parts)
        whole = Value("", aval.shape, first)
        names = [self._graph.laid(one, first) for one in parts]
        return Value(self._graph.node("Concat", *names, axis=whole.axes[axis]), aval.shape, first)

    def _transpose(self, x, *, equation) -> Value:
        shape, order = equation.outvars[0].aval.shape, equation.params["permutation"]
        return Value(self._graph.node("Transpose", self._graph.laid(x, False), perm=order), shape)

    def _reshape(self, x, *, equation) -> Value:
        shape = equation.outvars[0].aval.shape
        return Value(self._graph.node("Reshape", self._graph.laid(x, False), self._graph.sizes(shape)), shape)

    _squeeze = _expand_dims = _reshape

    def _broadcast_in_dim(self, x, *, equation) -> Value:
        shape, kept = equation.outvars[0].aval.shape, equation.params["broadcast_dimensions"]
        within = [1] * len(shape)
        for axis, size in zip(kept, x.shape, strict=True):
            within[axis] = size
        name = self._graph.laid(x, False) if isinstance(x, Value) else self._graph.constant(x)
        spread = self._graph.node("Reshape", name, self._graph.sizes(within))
        return Value(self._graph.node("Expand", spread, self._graph.sizes(shape)), shape)

    def _dot_general(self, left, right, *, equation) -> Value:
        """As an Einsum: batch axes first, then the free ones of both sides."""
        (of_left, of_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
        letters = iter(string.ascii_lowercase)
        words = [[""] * len(left.shape), [""] * len(right.shape)]
        for one, other in zip((*batch_left, *of_left), (*batch_right, *of_right), strict=True):
            words[0][one] = words[1][other] = next(letters)
        free = [[axis for axis, letter in enumerate(word) if not letter] for word in words]
        for word, axes in zip(words, free, strict=True):
            for axis in axes:
                word[axis] = next(letters)
        out = [words[0][axis] for axis in (*batch_left, *free[0])] + [words[1][axis] for axis in free[1]]
        said = "{},{}->{}".format(*map("".join, (*words, out)))
        inputs = [self._graph.laid(one, False) for one in (left, right)]
        shape = equation.outvars[0].aval.shape
        return Value(self._graph.node("Einsum", *inputs, equation=said), shape)


def _padding(x: Value, kernel: np.ndarray, params) -> dict:
    """Attributes of a convolution's padding: numbers, or, where they follow the size, 'same' as TensorFlow has it."""
    edges = params["padding"]
    if all(isinstance(edge, int | np.integer) for pair in edges for edge in pair):
        return {"pads": _flat(edges)}
    reach = [(taps - 1) * step + 1 for taps, step in zip(kernel.shape[2:], params["rhs_dilation"], strict=True)]
    same = jax.lax.padtype_to_pads(x.shape[1:3], reach, params["window_strides"], "SAME")
    if list(map(tuple, edges)) != list(map(tuple, same)) or set(params["rhs_dilation"]) != {1}:
        raise UserError("the padding of a convolution depends on the size; export the network with a fixed --size")
    return {"auto_pad": "SAME_UPPER"}


def _flat(edges) -> list[int]:
    """((top, bottom), (left, right)) as ONNX has it: all beginnings, then all ends."""
    return [int(low) for low, _ in edges] + [int(high) for _, high in edges]
