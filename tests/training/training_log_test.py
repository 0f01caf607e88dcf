"""What a stage says of itself while it trains."""

import types

import pytest

from dakd_jax.training.watch import training_log
from dakd_jax.training.watch.black_box import FiniteWatch
from dakd_jax.training.watch.training_log import LoggedStep, TrainingLog


@pytest.mark.parametrize(("seconds_a_step", "expected"), [(0.5, "8 min"), (2.0, "33 min"), (0.001, None)])
def test_how_long_it_should_take_is_said_once_after_its_first_steps(monkeypatch, seconds_a_step, expected):
    now, said = [0.0], []
    monkeypatch.setattr(training_log.time, "monotonic", lambda: now[0])
    log = TrainingLog(
        types.SimpleNamespace(row=lambda *row: None), pictures=4, steps=1020, watch=FiniteWatch(None),
        say=said.append,
    )  # fmt: skip
    for step in range(5, 120, 5):
        now[0] = step * seconds_a_step
        log.add(LoggedStep(step, {}, {"segmenter": 0.1}, 0.0, 0))
    if expected is None:
        assert said == []
        return
    (line,) = said
    assert line.startswith(f"the 995 steps to come should take about {expected}, by the first 20;")
