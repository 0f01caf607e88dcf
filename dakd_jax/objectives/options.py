"""The fields of the config that loss terms and adaptation methods bring, and their values."""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.adaptation import METHODS, Method
from dakd_jax.objectives.context import Option
from dakd_jax.objectives.terms import TERMS

CHOSEN = "adaptation.methods"
IN_CASES = "adaptation.in_cases"
SAME = ("same",)
_METHODS = {
    CHOSEN: Option(("adversarial",), "methods that adapt to the target, in the order in which they act; () = none"),
    IN_CASES: Option(SAME, "those of stages that are distilled; ('same',) = adaptation.methods"),
}


def fields() -> dict[str, Option]:
    """{path in the config: option} of all that is registered."""
    return _METHODS | {
        path: option for plug in (*TERMS.values(), *METHODS.values()) for path, option in plug.fields().items()
    }


def fill_defaults(config: ConfigDict) -> None:
    """Adds the fields that a config lacks, at their defaults."""
    with config.unlocked():
        for path, option in fields().items():
            *groups, name = path.split(".")
            place = config
            for group in groups:
                if group not in place:
                    place[group] = ConfigDict()
                place = place[group]
            if name not in place:
                place[name] = option.default


def value(config: ConfigDict, path: str) -> Any:
    """The value at a path such as 'loss.kl'."""
    for name in path.split("."):
        config = config[name]
    return config


def check(config: ConfigDict) -> None:
    """Raises a UserError for the first of these fields that cannot work, or a method that is none."""
    for path, option in fields().items():
        option.check(path, value(config, path))
    for path, distils in ((CHOSEN, False), (IN_CASES, True)):
        names = chosen(config, distils=distils)
        for name in names:
            METHODS.choose(name, path)
        if len(set(names)) < len(names):
            raise UserError(f"config.{path}={names}: a method can be named once")


def chosen(config: ConfigDict | dict, *, distils: bool) -> tuple[str, ...]:
    """Names of the adaptation methods of stages that are distilled, or of those that are not."""
    group = config.get("adaptation", {})  # configs of an earlier version have no such group
    methods, in_cases = group.get("methods", _METHODS[CHOSEN].default), tuple(group.get("in_cases", SAME))
    return in_cases if distils and in_cases != SAME else tuple(methods)


def term_weights(config: ConfigDict) -> dict[str, float]:
    """{loss term: its weight}."""
    return {name: value(config, f"loss.{name}") for name in TERMS}


def term_options(config: ConfigDict, name: str) -> dict[str, Any]:
    """{option: value} of a loss term."""
    paths = TERMS[name].fields()
    return dict(zip(TERMS[name].options, (value(config, path) for path in list(paths)[1:]), strict=True))


def _methods(config: ConfigDict, distils: bool) -> Iterator[type[Method]]:
    for name in chosen(config, distils=distils):
        yield METHODS[name]


def make_methods(config: ConfigDict, *, distils: bool = False) -> tuple[Method, ...]:
    """The methods that the config names for stages that are distilled or not, with its settings."""
    made = []
    for method in _methods(config, distils):
        values = {n: value(config, method.path(n)) for n, option in method.OPTIONS.items() if not option.weight}
        made.append(method.of({n: tuple(v) if isinstance(v, (list, tuple)) else v for n, v in values.items()}))
    return tuple(made)


def method_weights(config: ConfigDict, *, distils: bool = False) -> dict[str, dict[str, float]]:
    """{method: {weight: value}} of the methods that the config names for stages that are distilled or not."""
    return {
        method.NAME: {n: value(config, method.path(n)) for n, option in method.OPTIONS.items() if option.weight}
        for method in _methods(config, distils)
    }
