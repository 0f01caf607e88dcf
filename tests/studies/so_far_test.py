"""What a person sees of an experiment that is still running."""

import io
import pathlib
import re

import numpy as np
import pytest
import tiny_runs
from PIL import Image
from rich.console import Console

from dakd_jax.stages.experiment import Experiment
from dakd_jax.studies.experiment.so_far import FILE, SoFar, terminal_row
from data_pipelines.feeding.feed import Feed


def console(terminal, width=100, colours="truecolor"):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=colours)


@pytest.mark.parametrize("terminal", [True, False])
def test_each_finished_stage_is_shown(toy_city, chain, tmp_path, terminal):
    chosen = tiny_runs.config(toy_city, goal=("source_only", "student"))
    experiment = Experiment(chosen, Feed(chosen.data), chain[0], console(terminal))
    shown, heights = SoFar(experiment, tmp_path / "report"), []
    for name in ("source_only", "student"):
        shown.add(name)
        heights.append(Image.open(tmp_path / "report" / FILE).height)
    text = experiment.console.file.getvalue()
    assert text.count("mIoU") == 2 and text.count(str(tmp_path / "report" / FILE)) == 2
    assert heights[1] > heights[0]  # one more row
    assert ("▀" in text) == terminal
    assert not list(pathlib.Path(tmp_path).rglob("*.tmp"))


@pytest.mark.parametrize("how", [{"width": 12}, {"colours": None}], ids=str)
def test_a_terminal_without_room_or_colours_gets_the_line_alone(toy_city, chain, tmp_path, how):
    chosen = tiny_runs.config(toy_city, goal=("source_only",))
    experiment = Experiment(chosen, Feed(chosen.data), chain[0], console(True, **how))
    SoFar(experiment, tmp_path / "report").add("source_only")
    text = experiment.console.file.getvalue()
    assert "▀" not in text and "mIoU" in text


def test_stages_of_an_earlier_command_are_in_the_picture(toy_city, chain, tmp_path):
    chosen = tiny_runs.config(toy_city, goal=("source_only", "student"))
    heights = []
    for names in (("source_only", "student"), ("student",)):
        shown = SoFar(Experiment(chosen, Feed(chosen.data), chain[0], console(False)), tmp_path / "report")
        for name in names:
            shown.add(name)
        heights.append(Image.open(tmp_path / "report" / FILE).height)
    assert heights[0] == heights[1]


def test_a_run_shows_what_it_has_finished_now(toy_city, chain, monkeypatch):
    """In the chain's run every stage, in a second one none."""
    chosen = tiny_runs.config(toy_city, goal=("source_only",))
    assert "predictions in" in chain[1] and "predictions in" not in tiny_runs.run(chosen, chain[0], name="other")


def test_a_picture_in_a_terminal_is_two_pixels_a_letter():
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:2, :4], picture[2:, 4:] = (255, 0, 0), (0, 0, 255)
    shown = console(True)
    shown.print(terminal_row([picture, picture[::-1]], shown))
    lines = shown.file.getvalue().splitlines()
    first, last = (
        re.findall(r"38;2;(\d+);(\d+);(\d+)(?:;48;2;(\d+);(\d+);(\d+))?m(▀+)", line) for line in (lines[0], lines[-2])
    )
    # The left half of the first picture begins red, its right half ends blue.
    assert first[0][:3] == ("255", "0", "0") and any(part[2] == "255" for part in last)
    width = sum(len(part[-1]) for part in first)
    assert width % 2 == 0 and len([line for line in lines if "▀" in line]) == round(width / 2 * 4 / 8 / 2)
