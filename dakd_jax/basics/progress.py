"""What a person sees while a stage runs: a bar in a terminal, a line now and then elsewhere."""

import math
import shutil
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress, Task
from rich.text import Text

TABLE_WIDTH = 110  # of the widest table, where there is no terminal to ask
LINE_WIDTH = 80  # of a line of progress, where there is no terminal to ask
TITLE_WIDTH = 34  # of nearly all titles: they are padded to it where there is room
_LEAST_TITLE, _LEAST_BAR, _MOST_BAR = 12, 6, 24
QUIET_SECONDS = 15  # between lines where the output is no terminal


def make_console() -> Console:
    """A console of the terminal's width, or one wide enough for the tables where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, TABLE_WIDTH))


def duration(seconds: float) -> str:
    """For people: '12 s', '3 min', '5.2 h', '4.1 days'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def speed(images_per_second: float) -> str:
    """For people: '65.3 images/s', '4.52 s/image' where it is less than one a second; '' where it is not known."""
    if not 0 < images_per_second < math.inf:
        return ""
    slow = images_per_second < 1
    value = 1 / images_per_second if slow else images_per_second
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{digits}f} {'s/image' if slow else 'images/s'}"


def significant(value: float) -> float:
    """Four significant digits, for records: what is small does not become 0."""
    return float(f"{value:.4g}")


def _fitted(title: str, room: int) -> str:
    """A title padded where there is room, else cut, but not beyond what tells it from others."""
    if len(title) <= room:
        return title.ljust(min(room, TITLE_WIDTH))
    room = max(room, _LEAST_TITLE)
    return title if len(title) <= room else f"{title[: room - 1]}…"


class _Line:
    """A task as one line that is as wide as the terminal at most, whatever that is made to while the task runs."""

    def __init__(self, task: Task):
        self._task = task

    def __rich_console__(self, console, options):
        task, width = self._task, options.max_width - 1  # in the last column some terminals wrap
        parts = [f"{task.completed:.0f}/{task.total:.0f}", f"eta {_clock(task.time_remaining)}", task.fields["note"]]
        with_elapsed = [parts[0], _clock(task.elapsed), *parts[1:]]
        if sum(len(part) + 1 for part in with_elapsed) + min(len(task.description), TITLE_WIDTH) <= width:
            parts = with_elapsed
        rest = " ".join(filter(None, parts))
        room = width - len(rest) - 1
        # Without a bar the title may take all; with one it is only padded where the whole bar has its place too.
        title = _fitted(task.description, max(room - _MOST_BAR - 1, min(len(task.description), room)))
        line = Text(f"{title} ", no_wrap=True, overflow="crop")
        if (length := min(room - len(title) - 1, _MOST_BAR)) >= _LEAST_BAR:
            full = round(length * task.percentage / 100)
            line.append("━" * full, "bar.complete").append("━" * (length - full), "bar.back").append(" ")
        line.append(rest)
        line.truncate(width)
        yield line


def _clock(seconds: float | None) -> str:
    """'0:01:05'."""
    if seconds is None:
        return "-:--:--"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


class _Bar(Progress):
    """Progress whose tasks are lines that never wrap."""

    def get_renderables(self):
        """One for each task."""
        yield from map(_Line, self.tasks)


class StageProgress:
    """Progress of `total` units with ETA and pictures per second; a context manager."""

    def __init__(self, console: Console, title: str, total: int, start: int = 0, unit: str = "step"):
        self._console, self._title, self._total, self._unit = console, title, total, unit
        self._first, self._began, self._said = start, time.monotonic(), time.monotonic()
        self._done = start
        self._bar = None
        if console.is_terminal:
            self._bar = _Bar(console=console)
            self._task = self._bar.add_task(title, total=total, completed=start, note="")

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *unused):
        if self._bar:
            self._bar.stop()

    def advance(self, units: int) -> None:
        """Says that so many more are done."""
        self.update(self._done + units)

    def update(self, done: int, note: str = "") -> None:
        """Says that `done` of the total are done."""
        self._done = done
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if done < self._total and now - self._said < QUIET_SECONDS:
            return
        self._said = now
        passed = now - self._began
        pace = passed / (done - self._first) if done > self._first else math.inf
        seconds = passed if done >= self._total else (self._total - done) * pace
        what = "in" if done >= self._total else "eta"
        left = f"  {what} {duration(seconds)}" if seconds < math.inf else ""
        rest = f"{self._unit} {done}/{self._total}{left}" + (f"  {note}" if note else "")
        width = min(LINE_WIDTH, shutil.get_terminal_size().columns)
        line = f"{_fitted(self._title, width - len(rest) - 1)} {rest}"[:width].rstrip()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def rendering(console: Console) -> Callable[[int, int], None]:
    """A callback (done, total) that shows the rendering of the toy city."""
    shown: list[StageProgress] = []

    def update(done: int, total: int) -> None:
        if not shown:
            shown.append(StageProgress(console, "Rendering the toy city", total, unit="picture").__enter__())
        shown[0].update(done)
        if done == total:
            shown[0].__exit__()

    return update
