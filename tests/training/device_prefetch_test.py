"""Batches come in order, early, and waiting for them is measured."""

import threading
import time

import jax
import numpy as np
import pytest

from dakd_jax.training.runtime.device_prefetch import DataWait, SlowDataAdvice, prefetch_to_device


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
    assert max(ahead) <= 3


def test_a_late_batch_holds_back_none_that_is_here():
    release = threading.Event()

    def batches():
        yield {"x": np.zeros(1)}
        yield {"x": np.ones(1)}
        release.wait(30)
        yield {"x": np.full(1, 2)}

    prefetched = prefetch_to_device(batches(), depth=2)
    assert [float(next(prefetched)["x"][0]) for _ in range(2)] == [0.0, 1.0]
    release.set()
    assert [float(batch["x"][0]) for batch in prefetched] == [2.0]


def test_what_the_source_raises_comes_out():
    def batches():
        yield {"x": np.zeros(1)}
        raise OSError("a broken file")

    prefetched = prefetch_to_device(batches())
    next(prefetched)
    with pytest.raises(OSError, match="a broken file"):
        next(prefetched)


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
    assert wait.lap() == 0.0
    wait.next(batches, None)  # the start-up, until 2
    wait.next(batches, Result(ready=False))  # until 4: the device was busy all the time
    clock[0] += 4.0  # until 8
    wait.next(batches, Result(ready=True))  # until 10, idle for up to 2
    assert wait.lap() == 2.0 / 8.0
    clock[0] += 100.0
    wait.restart()  # after an evaluation
    wait.next(batches, Result(ready=False))  # 2 seconds
    assert wait.lap() == 0.0
    assert wait.share == 2.0 / 10.0


def test_a_slow_source_shows_as_waiting():
    def slow():
        while True:
            time.sleep(0.05)
            yield {"x": np.zeros(1)}

    wait, batches, result = DataWait(), prefetch_to_device(slow(), depth=1), None
    for _ in range(8):
        result = wait.next(batches, result)["x"]
    assert wait.lap() > 0.5 and wait.share > 0.5
    batches.close()


def test_advice_comes_once_after_rows_on_end():
    said = []
    advice = SlowDataAdvice(said.append)
    for share in (0.9, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.9):
        advice.add(share)
    assert not said  # half of the time is not more than half, and begins anew
    for share in (0.61, 0.9, 0.0, 0.9, 0.9, 0.9, 0.9, 0.9):
        advice.add(share)
    (line,) = said
    assert "waits for data 61 % of the time" in line
    assert "data_pipelines.prepare" in line and "num_parallel_calls" in line and "\n" not in line
