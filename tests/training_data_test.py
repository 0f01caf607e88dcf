"""dakd_jax uses of the data what TrainingData says, and the data half gives that."""

import ast
import inspect

import pytest
from rooms import MODULES

from dakd_jax.objectives.training_data import TrainingData, UnreadablePictures
from data_pipelines.feeding.feed import Feed
from data_pipelines.reading.unreadable import Unreadable as Counted

OF = {TrainingData: Feed, UnreadablePictures: Counted}
WANTED = sorted(name for name in vars(TrainingData) if not name.startswith("_"))


@pytest.mark.parametrize("protocol", OF, ids=lambda protocol: protocol.__name__)
def test_the_data_half_gives_what_is_needed(protocol):
    for name, wanted in vars(protocol).items():
        if name.startswith("_") and name != "__len__":
            continue
        given = inspect.getattr_static(OF[protocol], name)
        assert inspect.isfunction(given) == inspect.isfunction(wanted), name
        if inspect.isfunction(wanted):
            of = [
                [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
                for function in (given, wanted)
            ]
            assert of[0] == of[1], name


def test_dakd_jax_uses_nothing_else_of_a_feed_and_all_of_it():
    used = set()
    for module, path in MODULES.items():
        if module.startswith("dakd_jax."):
            used |= {node.attr for node in ast.walk(ast.parse(path.read_text())) if _of_a_feed(node)}
    assert used == set(WANTED)


def _of_a_feed(node) -> bool:
    """feed.X, self._feed.X, experiment.feed.X."""
    if not isinstance(node, ast.Attribute):
        return False
    of = node.value
    name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    return name in ("feed", "_feed")


def test_each_parameter_called_feed_has_the_type():
    untyped = []
    for module, path in MODULES.items():
        if module.startswith("dakd_jax."):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.arg) and node.arg == "feed":
                    typed = node.annotation is not None and ast.unparse(node.annotation) == "TrainingData"
                    untyped += [f"{module}:{node.lineno}"] * (not typed)
    assert not untyped
