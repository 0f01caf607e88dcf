"""The words --config.FIELD=VALUE: is there such a field, and what people write for a tuple."""

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit.config_files import flat, is_open
from dakd_jax.stages import older_configs

_WORD = re.compile(r"--?config\.(?P<field>[^=]*)(?:=(?P<value>.*))?", re.DOTALL)
_NEGATED = re.compile(r"--?noconfig\.(?P<field>[^=]*)")
_SIZE = re.compile(r"(\d+)\s*[xX×*]\s*(\d+)")
_ALL = "(all fields: configs/base.py)"


def is_override(word: str) -> bool:
    """Whether a word of the command line is for a field of the config."""
    return bool(_WORD.fullmatch(word) or _NEGATED.fullmatch(word))


def settle(argv: Sequence[str], config: ConfigDict) -> list[str]:
    """The command line with each tuple field given once, as Python writes it, so that the flags understand it.

    A tuple may be given as 640,360 or (640, 360), words without quotes, and a size as 640x360. Of a field that is given
    more than once all words count, or the single numbers, or the last group of numbers.

    Raises:
      UserError: there is no such field, or numbers are wanted and there are none.
    """
    _open(argv, config)
    fields, given = flat(config), {}
    rest, words = [], _of_today(argv)
    for word in words:
        found = _WORD.fullmatch(word) or _NEGATED.fullmatch(word)
        if found:
            _require(found["field"], fields, config)
        if word == "--" or not found or not isinstance(fields.get(found["field"]), tuple):
            rest += [word, *(words if word == "--" else ())]
            continue
        value = found["value"] if found.re is _WORD and found["value"] is not None else next(words, None)
        if value is None or value.startswith("--"):
            raise UserError(f"command line: --config.{found['field']} has no value {_ALL}")
        given.setdefault(found["field"], []).append(value)
    tuples = [f"--config.{field}={_joined(field, texts, fields[field])!r}" for field, texts in given.items()]
    return [*rest[:1], *tuples, *rest[1:]]


def plugins(argv: Sequence[str]) -> tuple[str, ...] | None:
    """What --config.plugins says, None where it is not given: asked for before other fields, which plugins may add."""
    words = iter(argv)
    given = []
    for word in words:
        if word == "--":
            break
        found = _WORD.fullmatch(word)
        if found and found["field"] == "plugins":
            given.append(found["value"] if found["value"] is not None else next(words, ""))
    return _joined("plugins", given, ()) if given else None


def without(argv: Sequence[str]) -> tuple[list[str], bool]:
    """(the words that are surely no override or the value of one, whether these are all that are not)."""
    rest, all_of_them, words = [], True, iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif not is_override(word):
            rest.append(word)
        elif "=" not in word and not _NEGATED.fullmatch(word):  # the next word is its value, or not, as the field is
            all_of_them = next(words, None) is None
    return rest, all_of_them


def _of_today(argv: Sequence[str]) -> Iterator[str]:
    """The words with the names and values that fields have today."""
    words = iter(argv)
    for word in words:
        if word == "--":
            yield from (word, *words)
        found = _WORD.fullmatch(word)
        if not found or older_configs.of_today(found["field"], "")[0] == found["field"]:
            yield word
            continue
        value = found["value"] if found["value"] is not None else next(words, "")
        field, value = older_configs.of_today(found["field"], value)
        yield f"--config.{field}={value}"


def _open(argv: Sequence[str], config: ConfigDict) -> None:
    """Puts the fields of open groups that the words name into the config, so that they can be set."""
    names = (found["field"] for found in map(_WORD.fullmatch, argv) if found)
    with config.unlocked():
        for field in names:
            if is_open(field) and field.rpartition(".")[2].isidentifier() and field not in flat(config):
                config.update_from_flattened_dict({field: ""})


def _require(field: str, fields: dict, config: ConfigDict) -> None:
    """Raises a UserError unless a field or a group has that name."""
    if field in fields or any(known.startswith(f"{field}.") for known in fields):
        return
    near = difflib.get_close_matches(field, list(fields), n=1)
    hint = f"did you mean --config.{near[0]}?" if near else f"there is {', '.join(config)}"
    if field.startswith(("loss.", "adaptation.")):
        hint += " Or is a file missing in --config.plugins?"
    raise UserError(f"--config.{field} is unknown: {hint} {_ALL}")


def _joined(field: str, texts: Sequence[str], now: tuple) -> tuple:
    """The value of a tuple field that was given as so many texts."""
    wants_numbers = bool(now) and all(isinstance(value, (int, float)) for value in now)
    read = [_numbers(field, text, now) if wants_numbers else _words(text) for text in texts]
    if wants_numbers and any(len(value) > 1 for value in read):
        return read[-1]
    return tuple(part for value in read for part in value)


def _numbers(field: str, text: str, now: tuple) -> tuple:
    bare = _bare(text)
    size = _SIZE.fullmatch(bare) if len(now) == 2 and all(isinstance(value, int) for value in now) else None
    parts = size.groups() if size else [part for part in re.split(r"\s*,\s*|\s+", bare) if part]
    try:
        found = tuple(_number(part) for part in parts)
    except ValueError:
        found = ()
    if not found:
        example = ",".join(str(value) for value in now)
        raise UserError(f"--config.{field}={text}: expected numbers, as --config.{field}={example} {_ALL}")
    return found


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _words(text: str) -> tuple:
    """('a', 'b') of "a,b", "(a, b)" and "('a', 'b')"; ('',) of nothing."""
    try:
        value: Any = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        parts = [part.strip().strip("'\"") for part in _bare(text).split(",")]
        return tuple(part for part in parts if part) or ("",)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _bare(text: str) -> str:
    """Without the brackets around it."""
    text = text.strip()
    return text[1:-1].strip() if text[:1] + text[-1:] in ("()", "[]") else text
