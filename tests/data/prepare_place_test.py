"""Where `prepare` writes unless told otherwise, what is found of it, and what it says on the way."""

import io
import os
import re
import shutil
from pathlib import Path

import pytest
import tiny_datasets as tiny
from input_pipeline_test import assert_equal, take
from prepared_sets import gta5, prepare_pair, run_as_it_is, write_domains
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from data_pipelines.basics import progress_line
from data_pipelines.basics.errors import DataError
from data_pipelines.domains import open_domains
from data_pipelines.prepare import __main__ as prepare
from data_pipelines.reading import prepared_records


@pytest.fixture
def root(tmp_path):
    return write_domains(tmp_path)


def everything(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with the default place of prepared records below it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(prepared_records, "DEFAULT", Path("runs/prepared"))
    return folder


def prepare_by_default(root):
    for dataset, size in (("gta5", "20x12"), ("cityscapes", "16x8")):
        source = f"--source={root / dataset}"
        assert run_as_it_is(f"--dataset={dataset}", source, f"--size={size}", "--num_workers=1") == 0


def test_by_default_it_writes_below_the_current_folder_where_training_looks(root, here, capsys):
    before = everything(root)
    prepare_by_default(root)
    assert everything(root) == before and [path.name for path in here.iterdir()] == ["runs"]
    told = f"training in this folder reads them; elsewhere with --config.data.records_dir={here}/runs/prepared"
    assert told in capsys.readouterr().out
    assert {"reads prepared records gta5-train-20x12", "reads prepared records cityscapes-train-16x8"} <= {
        note.split(": ", 1)[1] for note in open_domains(gta5(root)).notes
    }


def test_elsewhere_it_is_read_with_one_setting(root, here, tmp_path, monkeypatch):
    prepare_by_default(root)
    monkeypatch.chdir(tmp_path)
    assert "source train: reads files, resized to 20x12" in open_domains(gta5(root)).notes
    given = str(here / "runs" / "prepared")
    assert "source train: reads prepared records gta5-train-20x12" in open_domains(gta5(root, records_dir=given)).notes
    shutil.move(root / "gta5", tmp_path / "gone")  # the records alone, and by another path
    notes = open_domains(gta5(tmp_path / "nowhere", cityscapes_dir=str(root / "cityscapes"), records_dir=given)).notes
    assert "source train: reads prepared records gta5-train-20x12" in notes


def test_sets_of_namesakes_keep_apart(root, here, tmp_path):
    prepare_by_default(root)
    shutil.copytree(root, tmp_path / "other")
    tiny.save(tmp_path / "other" / "gta5" / "images" / "00001.png", tiny.picture(999))
    prepare_by_default(tmp_path / "other")
    for one in (root, tmp_path / "other"):
        notes = open_domains(gta5(one)).notes
        assert "source train: reads prepared records gta5-train-20x12" in notes and "anew" not in str(notes)
    shutil.rmtree(root / "gta5")
    shutil.rmtree(tmp_path / "other" / "gta5")
    assert open_domains(gta5(root)).source_train.records  # by its path
    with pytest.raises(DataError, match=r"records of gta5 in gta5-\w+, gta5-\w+; name one as --config.data.records"):
        open_domains(gta5(tmp_path / "nowhere", records_dir=str(here / "runs" / "prepared")))


def test_what_earlier_versions_put_beside_the_source_is_found_and_not_made_again(root, here, capsys):
    prepare_pair(root)  # there
    assert "source train: reads prepared records gta5-train-20x12" in open_domains(gta5(root)).notes
    prepare_by_default(root)
    assert capsys.readouterr().out.count("already prepared from these files") == 3 and not list(here.iterdir())


@pytest.mark.parametrize("inside", [".", "images"])
def test_in_a_folder_of_the_dataset_it_wants_to_be_told_where_to(root, here, monkeypatch, capsys, inside):
    monkeypatch.chdir(root / "gta5" / inside)
    before = everything(root)
    command = ["--dataset=gta5", f"--source={os.path.relpath(root / 'gta5')}", "--size=20x12", "--num_workers=1"]
    assert run_as_it_is(*command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the current folder is in it" in line and "--output" in line and everything(root) == before
    assert run_as_it_is(*command, f"--output={here}") == 0


def test_class_counts_of_training_go_there_too_unless_an_earlier_version_made_some(root, here):
    config = gta5(root, rare_class_temperature=0.1)
    before = everything(root)
    expected = take(config, 3)
    (made,) = here.glob("runs/prepared/class_counts/gta5-train-*.npz")
    assert everything(root) == before
    earlier = root / "prepared" / "class_counts"
    earlier.mkdir(parents=True)
    shutil.move(made, earlier)
    assert_equal(take(config, 3), expected)
    assert not list(here.glob("runs/prepared/class_counts/*"))


@pytest.mark.parametrize("text", ["20x12", "20X12", " 20 x 12", "20×12", "20,12", "(20, 12)"])
def test_sizes_as_people_write_them(text):
    assert prepare._size(text) == (20, 12)


@pytest.mark.parametrize("text", ["", "20", "axb", "20x12x3", "20.5x12"])
def test_what_is_no_size(text):
    with pytest.raises(DataError, match="expected WIDTHxHEIGHT"):
        prepare._size(text)


# The line of progress


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_line_of_progress_fits_the_terminal(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    rate = TextColumn("{task.fields[rate]}")
    columns = SpinnerColumn(), *progress_line.columns(console, rate, letters=17)
    with Progress(*columns, console=console) as bar:
        bar.update(bar.add_task("bdd100k-train-1280x720", total=70000, rate="1.23 images/s"), completed=12345)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue()))
    assert {len(line) <= width for line in lines} == {True}
    if width > 40:  # of so little letters are cut off, but nothing wraps
        assert all("/70000" in line and "eta" in line for line in lines if line.strip())
    assert "bdd100k-t" in lines[-2 if not lines[-1] else -1] or width == 40


def test_speed_is_never_nothing():
    told = {65.31: "65.3 images/s", 1234.5: "1,234 images/s", 0.0213: "46.9 s/image", 0.0: "", None: ""}
    assert {value: progress_line.speed(value) for value in told} == told
