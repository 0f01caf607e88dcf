"""What a person sees while a stage runs: a bar in a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

TABLE_WIDTH = 110  # of the widest table, where there is no terminal to ask
QUIET_SECONDS = 15  # between lines where the output is no terminal


def make_console() -> Console:
    """A console of the terminal's width, or one wide enough for the tables where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, TABLE_WIDTH))


def duration(seconds: float) -> str:
    """For people: 40 s, 10 min, 2.0 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class StageProgress:
    """Progress of `total` units with ETA and pictures per second; a context manager."""

    def __init__(self, console: Console, title: str, total: int, start: int = 0, unit: str = "step"):
        self._console, self._title, self._total, self._unit = console, title, total, unit
        self._first, self._began, self._said = start, time.monotonic(), time.monotonic()
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("eta"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(title, total=total, completed=start, note="")

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *unused):
        if self._bar:
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        """Says that `done` of the total are done."""
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if done < self._total and now - self._said < QUIET_SECONDS:
            return
        self._said = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        eta = (self._total - done) / rate if rate else float("inf")
        left = f"  eta {eta:,.0f} s" if done < self._total else f"  in {now - self._began:,.0f} s"
        self._console.print(f"{self._title:<34} {self._unit} {done}/{self._total}{left}  {note}", highlight=False)
