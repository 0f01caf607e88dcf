"""The fields of the config that loss terms and adaptation methods bring, and their values."""

from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.adaptation import METHODS, Method
from dakd_jax.objectives.context import Option
from dakd_jax.objectives.terms import TERMS

CHOSEN = "adaptation.methods"
_METHODS = Option(("adversarial",), "methods that adapt to the target, in the order in which they act; () = none")


def fields() -> dict[str, Option]:
    """{path in the config: option} of all that is registered."""
    return {CHOSEN: _METHODS} | {
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
    for name in config.adaptation.methods:
        METHODS.choose(name, CHOSEN)
    if len(set(config.adaptation.methods)) < len(config.adaptation.methods):
        raise UserError(f"config.{CHOSEN}={tuple(config.adaptation.methods)}: a method can be named once")


def term_weights(config: ConfigDict) -> dict[str, float]:
    """{loss term: its weight}."""
    return {name: value(config, f"loss.{name}") for name in TERMS}


def term_options(config: ConfigDict, name: str) -> dict[str, Any]:
    """{option: value} of a loss term."""
    paths = TERMS[name].fields()
    return dict(zip(TERMS[name].options, (value(config, path) for path in list(paths)[1:]), strict=True))


def methods(config: ConfigDict) -> Iterator[type[Method]]:
    """Those that the config names, in its order."""
    for name in config.adaptation.methods:
        yield METHODS[name]


def make_methods(config: ConfigDict) -> tuple[Method, ...]:
    """The methods that the config names, with its settings."""
    made = []
    for method in methods(config):
        values = {n: value(config, method.path(n)) for n, option in method.OPTIONS.items() if not option.weight}
        made.append(method.of({n: tuple(v) if isinstance(v, (list, tuple)) else v for n, v in values.items()}))
    return tuple(made)


def method_weights(config: ConfigDict) -> dict[str, dict[str, float]]:
    """{method: {weight: value}} of the methods that the config names."""
    return {
        method.NAME: {n: value(config, method.path(n)) for n, option in method.OPTIONS.items() if option.weight}
        for method in methods(config)
    }
