"""Columns of the progress bars of the commands, such that they fit into the terminal."""

import math

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_COUNTS, _ETA, _ELAPSED = 14, 12, 8  # letters, each with a blank
_TITLE = 28  # letters that a title should have before there is a bar
_BAR = (8, 40)  # letters, at least and at most


def columns(console: Console, *more: ProgressColumn, letters: int = 0) -> tuple[ProgressColumn, ...]:
    """Title, counts, `more` (of so many letters) and time left; where there is room, a bar and the time passed."""
    room = console.width - 1 - _COUNTS - _ETA - letters
    bar = min(room - _TITLE - _ELAPSED, _BAR[1])
    has_bar = bar >= _BAR[0]
    title = Column(
        no_wrap=True, overflow="ellipsis", max_width=max(1, room - (bar + 1 + _ELAPSED if has_bar else 0) - 1)
    )
    return (
        TextColumn("{task.description}", markup=False, table_column=title),
        *([BarColumn(bar_width=bar)] if has_bar else []),
        MofNCompleteColumn(),
        *more,
        *([TimeElapsedColumn()] if has_bar else []),
        TextColumn("eta"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def speed(images_per_second: float | None) -> str:
    """'65.3 images/s', '4.52 s/image' where it is less than one a second; '' where it is not known."""
    if not images_per_second or not 0 < images_per_second < math.inf:
        return ""
    slow = images_per_second < 1
    value = 1 / images_per_second if slow else images_per_second
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f} {'s/image' if slow else 'images/s'}"
