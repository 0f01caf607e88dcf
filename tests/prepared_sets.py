"""Datasets to prepare, and the command that does it."""

import pathlib

import tiny_datasets as tiny

from data_pipelines.doctor.command_line import main
from data_pipelines.prepare import __main__ as prepare


def run(*arguments):
    """The exit code of the command, which writes beside the source, as earlier versions did, unless told otherwise."""
    given = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
    place = [f"--output={pathlib.Path(given['source']).parent / 'prepared'}"] if "source" in given else []
    return run_as_it_is(*([] if "output" in given else place), *arguments)


def run_as_it_is(*arguments):
    """The exit code of the command."""
    return main(["prepare", *arguments], prepare.define_flags, prepare.run, prepare.__doc__)


def prepare_pair(root, *more):
    """The records of both domains at the sizes of tiny.data_config."""
    for dataset, size in (("gta5", "20x12"), ("cityscapes", "16x8")):
        source = f"--source={root / dataset}"
        assert run(f"--dataset={dataset}", source, f"--size={size}", "--num_workers=1", *more) == 0


def write_domains(folder):
    """GTA5, one of whose pairs does not fit, and an unlabelled Cityscapes with a labelled val; returns their root."""
    tiny.write_gta5(folder / "root" / "gta5", 5)
    labels = folder / "root" / "gta5" / "labels"
    tiny.save(labels / "00003.png", tiny.train_id_label(1, (10, 10)))  # a pair that does not fit
    tiny.write_cityscapes(folder / "root" / "cityscapes", count=4, labelled=False)
    tiny.write_cityscapes(folder / "root" / "cityscapes", "val", 3, seed=150)
    return folder / "root"


def gta5(root, **changes):
    return tiny.data_config(root, name="gta5", cache_mb=0, **changes)
