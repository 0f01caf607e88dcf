"""What a process that is not the first of a run has in the place of its files: nothing is kept, nothing is there."""

from typing import Any


class NoCheckpoints:
    """In the place of checkpointing.Checkpoints."""

    best: int | None = None

    def __init__(self):
        self.told: dict = {}

    def save(self, state: Any, told: dict | None = None) -> None:
        pass

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass

    def restore(self, like: Any) -> None:
        return None


class NoLog:
    """In the place of logs.MetricLog."""

    def row(self, step: int, kind: str, values: dict) -> None:
        pass

    def evaluation(self, *of: Any) -> None:
        pass

    def close(self) -> None:
        pass
