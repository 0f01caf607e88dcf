"""Executes notebooks in place, so that their outputs can be committed: python notebooks/execute.py NOTEBOOK ...

Requires what requirements-test.txt installs. What names this machine is taken out of the outputs.
"""

import os
import pathlib
import re
import sys
import tempfile

import nbformat
from nbclient import NotebookClient

PARAMETERS = "parameters"  # tag of the cell whose values may be replaced
SECONDS = 3600  # that one cell may take
ENDED = re.compile(r"[^\n]*\r(?!\n)")  # text that a bar in a terminal has written over


def parameters_cell(notebook):
    """The one cell that is tagged `parameters`."""
    (cell,) = (c for c in notebook.cells if PARAMETERS in c.metadata.get("tags", ()))
    return cell


def with_parameters(notebook, values: dict):
    """Gives names of the parameters' cell other values, in place.

    Raises:
      KeyError: the cell does not assign one of the names.
    """
    cell = parameters_cell(notebook)
    for name in values:
        if not re.search(rf"^{name} = ", cell.source, re.MULTILINE):
            raise KeyError(f"the parameters' cell has no {name}")
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    return notebook


def execute(notebook, folder: pathlib.Path, environment: dict[str, str] | None = None) -> None:
    """Executes a notebook in place, with `folder` as its current one; a cell that fails raises CellExecutionError.

    Args:
      environment: of the kernel; None = that of this process.
    """
    with tempfile.TemporaryDirectory() as ipython:  # no history, no profile of whoever executes it
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute(env={**(environment or os.environ), "IPYTHONDIR": ipython})
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def tidy(notebook, project: pathlib.Path) -> None:
    """Joins pieces of text and takes the project's own path out of all outputs, in place."""
    places = {f"{project}{os.sep}": "", str(project): ".", str(pathlib.Path.home()): "~"}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        joined = []
        for output in cell.outputs:
            for holder, key in [(output, "text")] + [(output.get("data", {}), "text/plain")]:
                for path, short in places.items():
                    if key in holder:
                        holder[key] = ENDED.sub("", holder[key]).replace(path, short)
            if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        cell.outputs = joined


def main(paths: list[str]) -> None:
    """Executes each notebook in the folder it lies in, and writes it there."""
    for path in map(pathlib.Path, paths):
        notebook = nbformat.read(path, as_version=4)
        folder = path.resolve().parent
        execute(notebook, folder)
        tidy(notebook, folder.parent)
        nbformat.write(notebook, path)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
