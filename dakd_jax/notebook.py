"""What a notebook needs: run.py as in a terminal, the stages of a workdir, tables and figures of a small size."""

import io
import os
import pathlib
import shlex
import subprocess
import sys

import numpy as np
import PIL.Image
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.stages import older_configs, weights
from dakd_jax.studies.kit.style import png_bytes
from dakd_jax.studies.kit.text_table import TextTable

WIDTH = 760  # pixels of a figure
_COLOURS = 256  # of a figure: a third of the bytes, and hardly seen
_ASK_FOR_COLOURS = ("FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")


def run_py(*arguments: str) -> None:
    """Runs `python run.py ARGUMENTS` in the current folder, the project, and prints what it prints as it comes.

    Raises:
      UserError: it ended with another exit code than 0; what it printed says why.
      KeyboardInterrupt: the cell was interrupted; run.py has saved and ended.
    """
    print("$ python run.py", *map(_quoted, arguments), flush=True)
    # Jupyter asks programs for colours and moving bars; lines read better, and stay readable in a saved notebook.
    plain = {name: value for name, value in os.environ.items() if name not in _ASK_FOR_COLOURS} | {"TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "run.py", *arguments], env=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def relay():
        for line in process.stdout:
            print(line, end="", flush=True)

    with process:
        try:
            relay()
        except KeyboardInterrupt:  # Jupyter's interrupt reached run.py as well: it saves, says so, and ends
            relay()
            raise
    if process.returncode:
        raise UserError(f"run.py ended with exit code {process.returncode}; what it printed above says why")


def _quoted(argument: str) -> str:
    """As a person would type it in a shell: a tuple of words in double quotes."""
    return f'"{argument}"' if "'" in argument and not set(argument) & set('"$`\\!') else shlex.quote(argument)


def flags(settings: dict) -> list[str]:
    """{"group.field": value} as --config.group.field=value."""
    return [f"--config.{field}={value}" for field, value in settings.items()]


def newest_stage(workdir: str | os.PathLike, name: str = "*") -> pathlib.Path:
    """Folder of the stage `name`, or of any stage, that was finished last.

    Raises:
      UserError: the workdir holds none.
    """
    folders = [path.parent for path in pathlib.Path(workdir).glob(f"stages/{name}-*/{weights.FILE}")]
    if not folders:
        wanted = "stage" if name == "*" else name
        raise UserError(f"{workdir} holds no finished {wanted}: train one first, for example with quickstart.ipynb")
    return max(folders, key=lambda folder: (folder / weights.FILE).stat().st_mtime_ns)


def config_of(stage: pathlib.Path) -> ConfigDict:
    """The config that a stage's folder was trained with; tuples have become lists.

    Raises:
      UserError: the folder has no whole record.
    """
    record = records.read_json(stage / "record.json")
    if not record or "config" not in record:
        raise UserError(f"{stage / 'record.json'} is missing or torn: name the folder of a finished stage")
    return ConfigDict(older_configs.modernise(record["config"]))


def show(thing: TextTable | Figure | np.ndarray | str | os.PathLike, width: int = WIDTH) -> None:
    """Displays a table, a figure, a picture uint8 [H, W, 3] RGB or a PNG file in a notebook.

    What is wider than `width` pixels is made smaller.
    """
    from IPython.display import Image, Markdown, display  # only a notebook has it

    if isinstance(thing, TextTable):
        display(Markdown(thing.to_markdown()))
    else:
        display(Image(small_png(thing, width)))


def small_png(thing: Figure | np.ndarray | str | os.PathLike, width: int = WIDTH) -> bytes:
    """A PNG file of at most `width` pixels a row, in at most 256 colours; `thing` as in show()."""
    if isinstance(thing, np.ndarray):
        picture = PIL.Image.fromarray(thing)
    else:
        picture = PIL.Image.open(io.BytesIO(png_bytes(thing)) if isinstance(thing, Figure) else thing)
    picture = picture.convert("RGB")
    if picture.width > width:
        size = width, max(1, round(picture.height * width / picture.width))
        picture = picture.resize(size, PIL.Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    few = picture.quantize(_COLOURS, PIL.Image.Quantize.FASTOCTREE, dither=PIL.Image.Dither.NONE)
    few.save(stream, format="png", optimize=True)
    return stream.getvalue()
