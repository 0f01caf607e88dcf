"""What --help prints: all commands, or one with its flags and the fields of the config that matter for it."""

import re
from collections.abc import Sequence

from dakd_jax.basics import installation
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, Command, Flag, listed
from dakd_jax.commands.kit import command_line, config_files

_NAME_WIDTH, _FLAG_WIDTH = 12, 28  # letters
_COMMON = """\
Flags of every command:
  --config=FILE.py[:PRESET]    the experiment, default configs/demo.py; sought in this project too, by path or name
  --config.FIELD=VALUE         any field of configs/base.py; tuples as 640,360 or 640x360
  --workdir=DIR                where everything goes, default config.workdir, else runs/<data.name>"""


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
    if not any(re.match(r"--?config\b", word) for word in words):
        return ""
    try:
        command_line.load_config(words)
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
    """With the defaults and the comments of configs/base.py; of a field of a plugin the name alone."""
    config, _ = config_files.make(str(installation.CONFIGS / "base.py"))
    values, source = config_files.flat(config), (installation.CONFIGS / "base.py").read_text(encoding="utf-8")
    lines = []
    for field in fields:
        comment = re.search(rf"^ +(?:config\.)?{re.escape(field)} = .*?  # (.*)$", source, re.MULTILINE)
        default = f"={_plain(values[field])}" if field in values else ""
        lines.append(_line(f"--config.{field}{default}", comment[1] if comment else ""))
    return lines


def _plain(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _line(left: str, right: str) -> str:
    return f"  {left:<{_FLAG_WIDTH}} {right}".rstrip()
