"""Batches come in order, early, and waiting for them is measured."""

import jax
import numpy as np

from dakd_jax.device_prefetch import DataWait, prefetch_to_device


def test_order_depth_and_end():
    made = []

    def batches():
        for step in range(5):
            made.append(step)
            yield {"x": np.full(3, step, np.uint8)}

    found, ahead = [], []
    for batch in prefetch_to_device(batches(), depth=2):
        found.append(int(batch["x"][0]))
        ahead.append(len(made) - len(found))
        assert isinstance(batch["x"], jax.Array) and batch["x"].dtype == np.uint8
    assert found == [0, 1, 2, 3, 4]
    assert ahead == [1, 1, 1, 1, 0]


def test_closing_closes_the_source():
    closed = []

    def batches():
        try:
            while True:
                yield {"x": np.zeros(1)}
        finally:
            closed.append(True)

    prefetched = prefetch_to_device(batches())
    next(prefetched)
    prefetched.close()
    assert closed == [True]


class Result:
    def __init__(self, ready):
        self.ready = ready

    def is_ready(self):
        return self.ready


def test_only_waiting_of_an_idle_device_counts():
    clock = [0.0]

    def slow():
        while True:
            clock[0] += 2.0
            yield {}

    wait, batches = DataWait(lambda: clock[0]), slow()
    assert wait.share == 0.0
    wait.next(batches, None)  # the start-up, until 2
    assert wait.share == 0.0
    wait.next(batches, Result(ready=False))  # until 4: the device was busy all the time
    clock[0] += 4.0  # until 8
    assert wait.share == 0.0
    wait.next(batches, Result(ready=True))  # until 10, idle for up to 2
    assert wait.share == 2.0 / 8.0
