"""Out of memory ends as one message with the plan of a step; other errors of the runtime keep their traceback."""

import jax
import numpy as np
import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.training import loop
from dakd_jax.training.watch import device_memory

FULL = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."


def test_a_step_that_does_not_fit(toy_city, workdir, monkeypatch):
    def full(*arguments):
        raise jax.errors.JaxRuntimeError(FULL)

    plain = loop._bound
    monkeypatch.setattr(loop, "_bound", lambda job, step: full if step is loop.train_step else plain(job, step))
    with pytest.raises(
        UserError, match=r"out of memory on \S+: a step needs about [\d.]+ GiB \(state [\d.]+, .*data.batch"
    ):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("source_only",)), workdir)


def test_the_plan_counts_arguments_and_what_the_compiler_sets_aside():
    x = np.ones((256, 256), np.float32)
    compiled = jax.jit(lambda x: (x @ x) @ (x @ x.T)).lower(x).compile()
    plan = device_memory.step_plan(compiled, batch={"x": x, "y": np.zeros(10, np.uint8)}, teacher=None)
    assert plan["batch"] == 256 * 256 * 4 + 10 and plan["teacher"] == 0
    assert plan["computing"] >= 2 * 256 * 256 * 4  # two products are held at a time


def test_other_errors_pass():
    with pytest.raises(jax.errors.JaxRuntimeError), device_memory.explained(dict):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
