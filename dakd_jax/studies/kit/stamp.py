"""What a page shows, in a file beside it: its folder is named after the config, whose seed or protocol may change."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dakd_jax.basics import records

FILE = ".of.json"


def is_of(page: Path, of: dict) -> bool:
    """Whether a page is there, whole, and of this identity: plain data, with 'stages': {name: hash}."""
    return page.exists() and records.read_json(page.with_name(FILE)) == of


def stages(page: Path) -> dict[str, str] | None:
    """{name: hash} of the networks that a page is about; None where that is not known."""
    return (records.read_json(page.with_name(FILE)) or {}).get("stages")


@contextlib.contextmanager
def writing(page: Path, of: dict) -> Iterator[None]:
    """Around the writing of a page: one that is stopped or fails leaves it without an identity."""
    page.with_name(FILE).unlink(missing_ok=True)
    yield
    records.write_json(page.with_name(FILE), of)
