"""What became of the inputs, and the lines that say it."""

from typing import NamedTuple

from rich.console import Console


class Outcome(NamedTuple):
    """How many inputs were predicted on, had their answers already, could not be read, and were read in part."""

    predicted: int = 0
    there: int = 0
    left_out: int = 0
    in_part: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*map(sum, zip(self, other, strict=True)))

    def __str__(self) -> str:
        told = {"there already": self.there, "left out": self.left_out, "read in part": self.in_part}
        return ", ".join([f"{self.predicted} predicted", *(f"{count} {what}" for what, count in told.items() if count)])


def say(console: Console, line: str) -> None:
    """A line as it is; of names that no terminal can show the bytes."""
    plain = line.encode("utf-8", "backslashreplace").decode()
    console.print(plain, highlight=False, markup=False, soft_wrap=True)
