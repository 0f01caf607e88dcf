"""How much a network computes: operation by operation from jax's own form of it, and as XLA says of its program."""

import dataclasses
import math
from collections.abc import Callable

import jax
import numpy as np
from jax.extend import core

from dakd_jax.deploy.export.program import NetworkProgram

_MOVES = {
    "broadcast_in_dim", "concatenate", "copy", "copy_p", "dynamic_slice", "gather", "iota", "pad", "reshape", "rev",
    "slice", "squeeze", "stop_gradient", "transpose",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Operations:
    """Of one picture.

    Attributes:
      macs: multiply-adds of convolutions and matrix products, as papers count them: at every place of the output, also
        where a kernel reaches over the picture's edge.
      macs_inside: without the latter, as XLA counts.
      others: values that all other arithmetic makes.
    """

    macs: int = 0
    macs_inside: int = 0
    others: int = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(self.macs + other.macs, self.macs_inside + other.macs_inside, self.others + other.others)

    @property
    def flop(self) -> int:
        """As XLA counts: two for a multiply-add, one for any other value."""
        return 2 * self.macs_inside + self.others


def count(function: Callable, *shapes: jax.ShapeDtypeStruct) -> Operations:
    """Of a function of arrays; what its outputs do not depend on is left out."""
    return _of(jax.make_jaxpr(function)(*shapes).jaxpr)


def of_network(program: NetworkProgram) -> dict:
    """GMACs of a program, and how near the two ways of counting are, as plain data.

    Returns:
      'network': GMACs from a picture to the logits; 'with_upsampling': and to labels; 'gflop': {'by_hand': of the
      network, from its operations, 'of_the_program': XLA's cost analysis of the same, 'apart': relative}.
    """
    network = program.logits(native=True)
    found, whole = count(network, program.shape), count(program.answers(native=True), program.shape)
    told = _analysed(network, program.shape)
    apart = None if told is None else round(abs(found.flop - told) / told, 5)
    by_hand, program_says = (value and float(f"{value / 1e9:.5g}") for value in (found.flop, told))
    return {
        "network": found.macs / 1e9,
        "with_upsampling": whole.macs / 1e9,
        "gflop": {"by_hand": by_hand, "of_the_program": program_says, "apart": apart},
    }


def _analysed(function: Callable, shape: jax.ShapeDtypeStruct) -> float | None:
    """FLOP of the function's program by XLA's cost analysis; None where the platform makes none."""
    analysis = jax.jit(function).lower(shape).cost_analysis()
    return analysis.get("flops") if analysis else None


def _of(jaxpr) -> Operations:
    """Of the operations that the outputs depend on."""
    wanted, found = {one for one in jaxpr.outvars if isinstance(one, core.Var)}, Operations()
    for equation in reversed(jaxpr.eqns):
        if wanted.isdisjoint(equation.outvars):
            continue
        wanted |= {one for one in equation.invars if isinstance(one, core.Var)}
        found += _of_one(equation)
    return found


def _of_one(equation) -> Operations:
    name, made = equation.primitive.name, sum(math.prod(out.aval.shape) for out in equation.outvars)
    if name == "conv_general_dilated":
        return Operations(*_convolution(equation))
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        macs = made * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return Operations(macs, macs)
    inner = [part for value in equation.params.values() for part in _jaxprs(value)]
    if inner:
        within = [_of(part) for part in inner]
        return max(within, key=lambda one: one.macs) if name == "cond" else sum(within, Operations())
    if name.startswith(("reduce_window", "select_and_scatter")):
        return Operations(others=made * math.prod(equation.params.get("window_dimensions", (1,))))
    if name.startswith(("reduce_", "arg", "cum")):
        return Operations(others=math.prod(equation.invars[0].aval.shape))
    return Operations(others=0 if name in _MOVES else made)


def _jaxprs(value) -> list:
    if isinstance(value, tuple | list):
        return [part for one in value for part in _jaxprs(one)]
    value = getattr(value, "jaxpr", value)
    return [value] if hasattr(value, "eqns") else []


def _convolution(equation) -> tuple[int, int]:
    """(multiply-adds, of these inside the picture)."""
    params, (x, kernel) = equation.params, (one.aval.shape for one in equation.invars)
    lhs, rhs, out = params["dimension_numbers"]
    shape = equation.outvars[0].aval.shape
    each = shape[out[0]] * shape[out[1]] * kernel[rhs[1]]  # for a place of the output and one of the kernel
    everywhere, inside = each, each
    how = zip(params["window_strides"], params["padding"], params["lhs_dilation"], params["rhs_dilation"], strict=True)
    for axis, (stride, (low, _), spread, dilation) in enumerate(how):
        size, taps, places = x[lhs[2 + axis]], kernel[rhs[2 + axis]], shape[out[2 + axis]]
        at = np.arange(places)[:, None] * stride - low + np.arange(taps) * dilation
        everywhere *= places * taps
        inside *= int(((at >= 0) & (at <= (size - 1) * spread) & (at % spread == 0)).sum())
    return everywhere, inside
