"""The fingerprint follows the files' content and names, not their place."""

import shutil

import pytest
import tiny_datasets as tiny

from data_pipelines.basics.errors import DataError
from data_pipelines.datasets import list_examples
from data_pipelines.reading.fingerprint import of_roles


def print_of(root, labelled=True, role="source_train"):
    return of_roles([(role, list_examples("cityscapes", root, "train", labelled=labelled).fingerprint)])


@pytest.fixture
def root(tmp_path):
    tiny.write_cityscapes(tmp_path / "here")
    return tmp_path / "here"


def test_a_copy_elsewhere_has_the_same_fingerprint(root):
    before = print_of(root)
    assert len(before) == 64 and int(before, 16)
    shutil.copytree(root, root.parent / "there" / "deeper")
    assert print_of(root.parent / "there" / "deeper") == before


def test_every_kind_of_change_is_seen(root):
    prints = [print_of(root), print_of(root, labelled=False), print_of(root, role="target_train")]
    image = list_examples("cityscapes", root, "train").examples[0].image
    image.rename(image.with_name("aachen_000000_000018_leftImg8bit.png"))
    label = next(root.rglob("aachen_000000_000019*labelIds.png"))
    label.rename(label.with_name("aachen_000000_000018_gtFine_labelIds.png"))
    prints.append(print_of(root))
    tiny.write_cityscapes(root, count=5)
    prints.append(print_of(root))
    assert len(set(prints)) == 5


@pytest.mark.parametrize("place", [0, 4095, 50_000, 99_999])
def test_a_changed_byte_at_start_middle_or_end_is_seen(root, place):
    image = list_examples("cityscapes", root, "train").examples[1].image
    content = bytearray(100_000)
    image.write_bytes(content)
    before = print_of(root)
    content[place] = 1
    image.write_bytes(content)
    assert print_of(root) != before


def test_a_vanished_file_is_named(root):
    split = list_examples("cityscapes", root, "train")
    split.examples[2].label.unlink()
    with pytest.raises(DataError, match=r"bochum_000001_000019_gtFine_labelIds\.png: cannot be read \(No such"):
        _ = split.fingerprint
