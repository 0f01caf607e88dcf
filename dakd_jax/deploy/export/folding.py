"""A traced function made simpler before a converter sees it: what is known is computed, batch norm folded.

It works on jax's own form of a function, so that it does not matter which modules a backbone is made of.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Collection

import jax
import numpy as np
from jax.extend import core

_INLINED = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "checkpoint": "jaxpr"}
_GAINS, _SHIFTS = ("mul", "div"), ("add", "sub")


@dataclasses.dataclass
class _Convolution:
    """One whose output only what comes next reads, with the gain and shift per channel that came since.

    Attributes:
      equation: conv_general_dilated.
      x: what it is of.
      kernel, bias: with gain and shift in them; no bias is 0.
    """

    equation: core.JaxprEqn
    x: object
    kernel: np.ndarray
    bias: np.ndarray | None = None

    def value(self, dtype=None):
        """The convolution, computed in `dtype` where one is given, and its bias added."""
        x, kernel = (self.x, self.kernel) if dtype is None else (self.x.astype(dtype), self.kernel.astype(dtype))
        out = self.equation.primitive.bind(x, kernel, **self.equation.params)
        out = out.astype(self.equation.outvars[0].aval.dtype)
        return out if self.bias is None else out + self.bias.reshape(self._per_channel(out.ndim))

    def with_next(self, name: str, constant: np.ndarray, first: bool) -> "_Convolution | None":
        """This one and an operation with a constant after it, None where that is no gain or shift per channel.

        Args:
          first: whether the constant is the first operand.
        """
        spec, kernel = self.equation.params["dimension_numbers"], self.kernel
        shape = self.equation.outvars[0].aval.shape
        vector = _along(constant, spec.out_spec[1], len(shape), kernel.shape[spec.rhs_spec[0]])
        if vector is None or (first and name in ("div", "sub")):
            return None
        vector = vector.astype(kernel.dtype)
        if name in _SHIFTS:
            shift = -vector if name == "sub" else vector
            return dataclasses.replace(self, bias=shift if self.bias is None else self.bias + shift)
        gain = 1 / vector if name == "div" else vector
        axes = [1] * kernel.ndim
        axes[spec.rhs_spec[0]] = -1
        bias = None if self.bias is None else self.bias * gain
        return dataclasses.replace(self, kernel=kernel * gain.reshape(axes), bias=bias)

    def _per_channel(self, ndim: int) -> list[int]:
        shape = [1] * ndim
        shape[self.equation.params["dimension_numbers"].out_spec[1]] = -1
        return shape


def _along(constant: np.ndarray, axis: int, ndim: int, size: int) -> np.ndarray | None:
    """[size] of a constant that is broadcast over an array of `ndim` axes and varies along one alone."""
    if constant.ndim == 0:
        return np.full(size, constant)
    if constant.ndim != ndim or any(n != 1 for i, n in enumerate(constant.shape) if i != axis):
        return None
    return np.broadcast_to(constant.reshape(-1), size)


def folded(function: Callable, *, native: bool, dtype=None, kept: Collection[str] = ()) -> Callable:
    """A function of one array that gives what `function` gives, but for rounding.

    What depends on no argument is computed now, gains and shifts per channel after a convolution go into its kernel and
    a bias, and calls within are written out.

    Args:
      native: of alternatives by platform the general one is taken, in place of all of them; of those of convolutions
        without groups always.
      dtype: what convolutions compute in, None for their own.
      kept: names of jitted functions whose calls stay calls.
    """

    def simpler(x):
        closed, shape = jax.make_jaxpr(function, return_shape=True)(x)
        found = _Run(native, dtype, kept).of(closed.jaxpr, closed.consts, [x])
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return simpler


class _Run:
    """Goes through a function, equation by equation; values are known, as numpy arrays, traced, or a _Convolution."""

    def __init__(self, native: bool, dtype, kept: Collection[str]):
        self._native, self._dtype, self._kept = native, dtype, kept

    def of(self, jaxpr, consts, arguments) -> list:
        """Outputs of a jaxpr."""
        return [self._value(one) for one in self._outputs(jaxpr, consts, arguments)]

    def _value(self, one):
        return one.value(self._dtype) if isinstance(one, _Convolution) else one

    def _outputs(self, jaxpr, consts, arguments) -> list:
        values = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        values |= dict(zip(jaxpr.invars, arguments, strict=True))
        read_by = [*jaxpr.outvars, *(one for equation in jaxpr.eqns for one in equation.invars)]
        readers = Counter(one for one in read_by if not _is_literal(one))

        def read(one):
            if _is_literal(one):
                return np.asarray(one.val, one.aval.dtype)
            if readers[one] > 1:
                values[one] = self._value(values[one])  # computed once, and so as it is
            return values[one]

        for equation in jaxpr.eqns:
            outputs = self._equation(equation, [read(one) for one in equation.invars])
            values |= dict(zip(equation.outvars, outputs, strict=True))
        return [read(one) for one in jaxpr.outvars]

    def _equation(self, equation, inputs: list) -> list:
        name, params = equation.primitive.name, equation.params
        if name in _INLINED and params.get("name") not in self._kept:
            inner = params[_INLINED[name]]
            return self._outputs(*(inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ()), inputs)
        if name == "platform_index" and self._native:
            return [np.int32(len(params["platforms"]) - 1)]
        if name == "cond" and params["branches_platforms"] and _is_dense_convolution(params["branches"][-1]):
            # The other forms hold no convolution that batch norm could be folded into, and are there for training.
            return self._outputs(params["branches"][-1].jaxpr, params["branches"][-1].consts, inputs[1:])
        if name == "cond" and _is_known(inputs[0]):
            branch = params["branches"][int(inputs[0])]
            return self._outputs(branch.jaxpr, branch.consts, inputs[1:])
        if name == "conv_general_dilated" and _is_known(inputs[1]) and not _is_known(inputs[0]):
            return [_Convolution(equation, self._value(inputs[0]), inputs[1])]
        if name in _GAINS + _SHIFTS and (found := _after_convolution(name, inputs)) is not None:
            return [found]
        return _computed(equation, [self._value(one) for one in inputs])


def _after_convolution(name: str, inputs: list) -> _Convolution | None:
    for at, (one, other) in enumerate((inputs, inputs[::-1])):
        if isinstance(one, _Convolution) and _is_known(other):
            return one.with_next(name, other, first=at == 1)
    return None


def _computed(equation, inputs: list) -> list:
    """Outputs of an equation, known where all its inputs are."""
    fixed = all(isinstance(side, int) for out in equation.outvars for side in out.aval.shape)
    known = fixed and all(map(_is_known, inputs)) and equation.primitive.name not in ("platform_index", "dim_as_value")
    with jax.ensure_compile_time_eval() if known else contextlib.nullcontext():
        found = equation.primitive.bind(*inputs, **equation.params)
    found = found if equation.primitive.multiple_results else [found]
    return [np.asarray(one) for one in found] if known else found


def _is_dense_convolution(branch: core.ClosedJaxpr) -> bool:
    """Whether the general one of alternatives by platform is a convolution without groups."""
    convolutions = [one.params for one in branch.jaxpr.eqns if one.primitive.name == "conv_general_dilated"]
    return bool(convolutions) and all(params["feature_group_count"] == 1 for params in convolutions)


def _is_known(value) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _is_literal(variable) -> bool:
    return isinstance(variable, core.Literal)
