"""The types of what dakd_jax.load is told: a wrong one is a line that names it."""

import numbers
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.stages import weights


def checked(told: Mapping) -> dict:
    """The keywords as plain Python: whole numbers as int, several of something as a tuple; None stays.

    Raises:
      UserError: one is of a type that it cannot have, or none that there is.
    """
    if unknown := told.keys() - _READ.keys():
        raise UserError(f"{min(unknown)}= is no argument; expected some of {', '.join(_READ)}")
    return {name: value if value is None else _as(name, value) for name, value in told.items()}


def _as(name: str, value):
    read, expected = _READ[name]
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name}={value!r}: expected {expected}") from None


def _whole(value) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError
    return int(value)


def _number(value) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError
    return float(value)


def _word(value) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _several(value) -> tuple:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError
    return tuple(value)


def _sides(value) -> tuple[int, ...]:
    sides = tuple(map(_whole, _several(value)))
    if sides and (len(sides) != 2 or min(sides) < 1):
        raise ValueError
    return sides


def _classes(value) -> int | tuple[str, ...]:
    if isinstance(value, numbers.Number):
        return _whole(value)
    return tuple(name if isinstance(name, str) else str(_whole(name)) for name in _several(value))


def _depth(value) -> int:
    if (bits := _whole(value)) not in (0, *range(9, 17)):
        raise ValueError
    return bits


def _plugins(value) -> tuple[str, ...]:
    return tuple(map(os.fspath, [value] if isinstance(value, str | os.PathLike) else _several(value)))


_NETWORK: dict[str, tuple[Callable, str]] = {
    "arch": (_word, "the name of an architecture, as 'drn_d_22'"),
    "width": (_number, "a number, as 0.5"),
    "output_stride": (_whole, "a whole number, as 8"),
}
_READ: dict[str, tuple[Callable, str]] = {
    **{field: _NETWORK.get(field, (_word, "a name")) for field in weights.NETWORK_FIELDS},
    "classes": (_classes, "2 to 255 names, or how many they are"),
    "size": (_sides, "(width, height) in pixels, as (1280, 720)"),
    "palette": (lambda value: value, "a table of colours"),
    "bit_depth": (_depth, "how many bits the values of 16-bit pictures use, 9 to 16, or 0 for none"),
    "plugins": (_plugins, "names of modules or files, as ['my_network.py']"),
}
