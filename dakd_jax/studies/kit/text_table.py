"""One table, four ways to show it: terminal, Markdown, LaTeX, and cells for the HTML template; and numbers as text."""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence

MISSING = "–"
_UNWRAPPED = 30  # letters of a row's name


@dataclasses.dataclass(frozen=True)
class Cell:
    """Text of one cell; `best` cells are shown in bold."""

    text: str
    best: bool = False


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A table whose first column names the row; the others hold numbers.

    Attributes:
      title: a few words above it; may be empty.
      headers: one text per column.
      rows: each as long as `headers`; texts become cells.
      caption: a sentence below it; may be empty.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def __post_init__(self):
        rows = (tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row) for row in self.rows)
        object.__setattr__(self, "rows", tuple(rows))

    @classmethod
    def of_columns(cls, columns: Sequence[tuple[str, Sequence]], caption: str = "") -> "TextTable":
        """Of (header, a Cell or text for each row); ValueError where columns differ in length."""
        headers, cells = zip(*columns, strict=True)
        return cls("", headers, tuple(zip(*cells, strict=True)), caption)

    def to_rich(self):
        """The table as a `rich.table.Table`; texts are shown literally, not read as markup."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(self.title, style="bold") if self.title else None,
            caption=Text(self.caption, style="dim") if self.caption else None,
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        # Names stay on one line while they are short, so that headers wrap and not they.
        longest = max((len(row[0].text) for row in self.rows), default=0)
        table.add_column(Text(self.headers[0]), overflow="fold", no_wrap=longest <= _UNWRAPPED)
        for position, header in enumerate(self.headers[1:], start=1):
            widest = max((len(row[position].text) for row in self.rows), default=0)
            table.add_column(Text(header), justify="right", overflow="fold", min_width=widest)
        for row in self.rows:
            table.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        return table

    def to_markdown(self) -> str:
        """GitHub's Markdown, with columns padded so that the source reads well too."""
        lines = [[_markdown(header) for header in self.headers]]
        lines += [
            [f"**{_markdown(cell.text)}**" if cell.best else _markdown(cell.text) for cell in row] for row in self.rows
        ]
        widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(self.headers))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        padded = [
            [text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))]
            for line in (lines[0], rule, *lines[1:])
        ]
        body = "\n".join(f"| {' | '.join(line)} |" for line in padded)
        parts = [f"**{_markdown(self.title)}**" if self.title else "", body, _markdown(self.caption)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def to_latex(self, labels: int = 1) -> str:
        """A float for a document that loads the packages booktabs and adjustbox.

        Args:
          labels: columns that name the row, flush left; the others are flush right.
        """
        lines = [
            " & ".join(f"\\textbf{{{_latex(cell.text)}}}" if cell.best else _latex(cell.text) for cell in row)
            for row in self.rows
        ]
        caption = " ".join(filter(None, (f"{self.title}." if self.title else "", self.caption)))
        alignment = "l" * labels + "r" * (len(self.headers) - labels)
        return "\n".join([
            "% needs \\usepackage{booktabs,adjustbox}",
            "\\begin{table}",
            "\\centering",
            *([f"\\caption{{{_latex(caption)}}}"] if caption else []),
            "\\begin{adjustbox}{max width=\\linewidth}",
            f"\\begin{{tabular}}{{{alignment}}}",
            "\\toprule",
            " & ".join(map(_latex, self.headers)) + " \\\\",
            "\\midrule",
            *(f"{line} \\\\" for line in lines),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{adjustbox}",
            "\\end{table}",
        ]) + "\n"  # fmt: skip


def csv_text(rows) -> str:
    """Rows of values as comma-separated text with Unix line ends."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def number(value: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """A number as text; None and NaN as a dash, a minus as the typographic one only in signed numbers."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:  # never "-0.0"
        text = text.lstrip("+-")
    return text.replace("-", "−") if signed else text


def exact(value: float | None) -> str:
    """A number for a CSV file, to four decimals; None and NaN are empty."""
    return "" if value is None or math.isnan(value) else f"{value:.4f}"


def number_cells(values, comparable, decimals: int = 2) -> list[Cell]:
    """One column (or row) of numbers, the highest of the comparable ones marked.

    Args:
      values: floats or None.
      comparable: bools, which of them compete.
      decimals: digits shown; numbers that look equal share the mark, and when all do there is none.
    """
    texts = [number(value, decimals) for value in values]
    rivals = [float(text) for text, counts in zip(texts, comparable, strict=True) if counts and text != MISSING]
    # One competitor has beaten nobody, nor has one of equals.
    top = max(rivals) if len(set(rivals)) > 1 else None
    return [
        Cell(text, best=counts and text != MISSING and float(text) == top)
        for text, counts in zip(texts, comparable, strict=True)
    ]


_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    MISSING: "--",
    "−": "$-$",
    "±": r"$\pm$",
    "→": r"$\to$",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.replace("\n", " "))


def _markdown(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
