"""What --help prints: all commands, or one with its flags and the fields of the config that matter for it."""

import ast
import re
from collections.abc import Sequence

from dakd_jax.basics import installation
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, Command, Flag, listed
from dakd_jax.commands.kit import command_line

_NAME_WIDTH, _FLAG_WIDTH = 12, 28  # letters
_COMMON = """\
Flags of every command:
  --config=FILE.py[:PRESET]    the experiment, default configs/demo.py; sought in this project too, by path or name
  --config.FIELD=VALUE         any field of configs/base.py; tuples as 640,360 or 640x360
  --workdir=DIR                where everything goes, default config.workdir, else runs/<data.name> (runs/SOURCE-TARGET
                               where data.source or data.target are given)"""


def page(arguments: Sequence[str], header: str) -> str:
    """What --help among `arguments` prints; a command of config.plugins is known as well.

    Args:
      header: of the page of all commands.

    Raises:
      UserError: the command that is named does not exist.
    """
    words = [word for word in arguments if word not in ("-h", "--help")]
    note = _load_plugins(words)
    mode, _ = command_line.which(words)
    if mode not in COMMANDS:
        raise command_line.UnknownCommand(mode)
    named = {word.partition("=")[0].lstrip("-") for word in words if word.startswith("-")}
    text = _of_one(mode) if named & {"mode", mode} else _of_all(header)
    return (text + note).replace("python run.py", installation.called())


def _load_plugins(words: Sequence[str]) -> str:
    """Of what the command line names; what keeps them from being loaded, for the end of the page."""
    if not any(re.match(r"--?config(=|$|\.plugins)", word) for word in words):
        return ""
    try:
        command_line.load_all_plugins(words)
    except UserError as error:
        return f"\n\nCommands of plugins are not listed: {error}"
    return ""


def _of_all(header: str) -> str:
    lines = [header.strip(), "", "Commands, `--mode=X` (`--mode=X --help` tells more of each):"]
    for group, names in listed().items():
        lines += [f"  {group}"] * bool(names) + [f"    {name:<{_NAME_WIDTH}} {COMMANDS[name].about}" for name in names]
    return "\n".join([*lines, "", _COMMON])


def _of_one(name: str) -> str:
    command = COMMANDS[name]
    if not isinstance(command, Command):
        return f"{command.about}: python -m {command.module} --help tells more"
    parts = [command.page.strip(), _COMMON]
    if command.flags:
        parts.append("\n".join(["Its own flags:", *map(_flag_line, command.flags)]))
    if command.fields:
        parts.append("\n".join(["Fields that matter most (all: configs/base.py):", *_field_lines(command.fields)]))
    return "\n\n".join(parts)


def _flag_line(flag: Flag) -> str:
    if isinstance(flag.default, bool):
        return _line(f"--[no]{flag.name}", flag.about)
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, tuple) else flag.default
    return _line(f"--{flag.name}={default}", flag.about)


def _field_lines(fields: Sequence[str]) -> list[str]:
    """With the defaults and comments that lines of configs/base.py give them; it is not executed."""
    source = (installation.CONFIGS / "base.py").read_text(encoding="utf-8")
    lines = []
    for field in fields:
        found = re.search(rf"^ +(?:config\.)?{re.escape(field)} = (.*?)(?:  # (.*))?$", source, re.MULTILINE)
        default, comment = found.groups("") if found else ("", "")
        lines.append(_line(f"--config.{field}{_plain(default)}", comment))
    return lines


def _plain(code: str) -> str:
    """=VALUE as it is given on the command line; '' for what is no constant."""
    try:
        value = ast.literal_eval(code)
    except (SyntaxError, ValueError):
        return ""
    return f"={','.join(map(str, value))}" if isinstance(value, tuple) else f"={value}"


def _line(left: str, right: str) -> str:
    return f"  {left:<{_FLAG_WIDTH}} {right}".rstrip()
