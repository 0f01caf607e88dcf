"""The command line of run.py: which command it is, absl flags, ml_collections' config flag; mistakes are one line."""

import difflib
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from dakd_jax.basics import plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.commands import COMMANDS, Command, Flag, Invocation, listed
from dakd_jax.commands.kit import config_files, overrides
from dakd_jax.stages import older_configs

DEFAULT_MODE = "train"
_WORKDIR = Flag("workdir", "", "Where everything goes.")


class UnknownCommand(UserError):
    """There is no such command.

    Attributes:
      name: of what there is none.
      of_word: the message where it was given as `dakd NAME`.
    """

    def __init__(self, name: str):
        name = _squeezed(name)
        known = [one for names in listed().values() for one in names]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        self.name, self.of_word = name, f"dakd {name}: unknown; {hint} (dakd --help)"
        super().__init__(
            f"command line: flag --mode={name}: value should be one of <{'|'.join(known)}>, or a command of a file "
            "that --config.plugins names (--help tells more)"
        )


def which(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """(the name of the command that is meant, whether there is one or not; the other words).

    Raises:
      UserError: a flag file cannot be read, or the name is missing.
    """
    argv = _with_flag_files(arguments)
    mode, _, rest = _take_mode(argv[1:])
    return mode, rest


def parse(arguments: Sequence[str]) -> Invocation:
    """Reads --config=FILE[:PRESET], --config.FIELD=VALUE, the flags of the command, and its other words.

    Raises:
      UserError: unknown name, field, command, preset or file, a value of the wrong type, a flag of another command.
    """
    named, argv = _take_file(_with_flag_files(arguments))
    file, plugins = config_files.find(named), overrides.plugins(argv)
    if load_plugins(file, plugins):
        _check_flags(argv)
    config = config_files.make(named)
    of_file = config_files.plugins_of(config, file)
    config_files.complete(config, file, of_file if plugins is None else plugins)
    mode, words, argv = _take_mode(overrides.settle(argv, config))
    command = _command(mode)
    values = _define(command)
    rest = (*words, *_parsed(values, argv, mode, config))
    _refuse_misuse(values, mode, rest)
    given = config_flags.get_override_values(values["config"])
    _refuse_groups(given)
    config = _at_scale(values.config, given)
    invocation = Invocation(
        config=config,
        name=config_files.name_of(named),
        mode=mode,
        workdir=pathlib.Path(values.workdir or config.workdir or f"runs/{_pair(config.data)}").expanduser(),
        flags={flag.name: _read(values, flag) for flag in command.flags},
        words=rest,
        given=frozenset(given),
    )
    command.check(invocation)
    return invocation


def load_plugins(file: pathlib.Path, given: Sequence[str] | None) -> bool:
    """Loads the plugins that --config.plugins names.

    Returns:
      whether no others will come: a config's file may name some, and is executed later, since a config imports jax.
    """
    if given is not None:
        plugs.load(given)
    return given is not None or config_files.is_ours(file)


def load_all_plugins(arguments: Sequence[str]) -> None:
    """Loads the plugins that the command line or its config's file names."""
    named, argv = _take_file(_with_flag_files(arguments))
    file, plugins = config_files.find(named), overrides.plugins(argv)
    if not load_plugins(file, plugins):
        plugs.load(config_files.plugins_of(config_files.make(named), file))


def _check_flags(argv: Sequence[str]) -> None:
    """Tells mistakes in all but the fields of the config, without one, and so before jax is imported."""
    mode, words, argv = _take_mode(argv)
    values = _define(_command(mode))
    argv, certain = overrides.without(argv)
    rest = (*words, *_parsed(values, argv, mode))
    _refuse_misuse(values, mode, rest if certain else None)


def _command(mode: str) -> Command:
    """The command of that name, where all flags can be told apart."""
    if not isinstance(COMMANDS.get(mode), Command):
        raise UnknownCommand(mode)
    if taken := {flag.name for _, flag in _all_flags()} & set(_by_flag()):
        raise UserError(f"a command has a flag --{min(taken)}, which stands for --mode={min(taken)}; rename it")
    return COMMANDS[mode]


def _parsed(values: flags.FlagValues, argv: Sequence[str], mode: str, config: ConfigDict | None = None) -> list[str]:
    """The words that are no flags; `values` takes the others, those for fields where there is a config."""
    # Of the words only those that are overrides: a stray --config, as another flag's value, would be taken for a file.
    fields = [word for word in argv if overrides.is_override(word)]
    try:
        if config is not None:
            config_flags.DEFINE_config_dict("config", config, "The experiment.", flag_values=values, sys_argv=fields)
        return values(argv)[1:]
    except UserError:
        raise
    except Exception as error:  # whatever absl and the config flag may raise
        said = _one_line(error)
        lists = "all fields: configs/base.py" if "config" in said else f"all flags: --mode={mode} --help"
        raise UserError(f"command line: {said} ({lists})") from error


def _with_flag_files(arguments: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS.read_flags_from_files(["run.py", *arguments], force_gnu=True)
    except flags.Error as error:
        raise UserError(f"command line: {_one_line(error)}") from error


def _take(argv: Iterable[str], names: Sequence[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """([(flag, value or None for a missing one), ...] of the flags `names`, in their order; all other words)."""
    found, rest, words = [], [], iter(argv)
    valued = {"config", "mode", _WORKDIR.name, *_by_flag()}  # flags whose value may be the next word
    valued |= {flag.name for _, flag in _all_flags() if not isinstance(flag.default, bool)}
    for word in words:
        dashed, equals, value = word.partition("=")
        flag = dashed.removeprefix("-").removeprefix("-") if dashed.startswith("-") else ""
        if word == "--":  # all that follows is no flag
            rest += [word, *words]
        elif flag in names:
            found.append((flag, value if equals else next(words, None)))
        else:
            rest += [word, *itertools.islice(words, int(flag in valued and not equals))]
    return found, rest


def _take_file(argv: Iterable[str]) -> tuple[str, list[str]]:
    """(what --config names, the last one where there are more; all other words)."""
    found, rest = _take(argv, ("config",))
    for _, value in found:
        if value is None or value.startswith("--"):
            follows = f": {value!r} follows it" if value else ""
            raise UserError(f"--config has no value{follows}; expected FILE[:PRESET], as --config=configs/demo.py")
    return found[-1][1] if found else config_files.DEFAULT, rest


def _take_mode(argv: Iterable[str]) -> tuple[str, tuple[str, ...], list[str]]:
    """(name of the command, its words that were given as a flag of its name, all other words)."""
    by_flag = _by_flag()
    found, rest = _take(argv, ("mode", *by_flag))
    mode, words = DEFAULT_MODE, ()
    for flag, value in sorted(found, key=lambda pair: pair[0] != "mode"):  # what is named by its own flag counts
        if value is None and flag == "mode":
            raise UserError("command line: Missing value for flag --mode (--help tells more)")
        if flag != "mode" and (not value or value.startswith("--")):
            follows = f"{value!r} follows it" if value else f"expected {COMMANDS[flag].words}"
            raise UserError(f"--{flag} has no value: {follows}")
        mode, words = (value, words) if flag == "mode" else (flag, (value,))
    return mode, words, rest


def _by_flag() -> list[str]:
    return [name for name, command in COMMANDS.items() if isinstance(command, Command) and command.by_flag]


def _all_flags() -> list[tuple[str, Flag]]:
    """[(name of a command, one of its flags), ...], as they are listed."""
    names = [name for names in listed().values() for name in names]
    return [(name, flag) for name in names if isinstance(COMMANDS[name], Command) for flag in COMMANDS[name].flags]


def _pair(data: ConfigDict) -> str:
    """Of the default workdir: data.name; where others are named, as gta5-my_city. Names and folders need not exist."""
    if not (data.source or data.target):
        return data.name
    source = "+".join(map(str, data.source)) or data.name
    return f"{source}-{pathlib.Path(data.target or data.name).expanduser().resolve().name}"


def _at_scale(config: ConfigDict, given: Mapping[str, Any]) -> ConfigDict:
    """Settles config.scales, {data.name: fields}, where a config has it: the fields of its benchmark take effect.

    Here, and not in the config's file, since data.name may be given on the command line; so may any of those fields
    (`given`, by path with dots), and what is given holds.
    """
    if "scales" not in config:
        return config
    written = config_files.flat(config.scales.get(config.data.name, ConfigDict()))
    scale = dict(older_configs.of_today(field, value) for field, value in written.items())
    config.update_from_flattened_dict({field: value for field, value in scale.items() if field not in given})
    with config.unlocked():
        del config["scales"]
    return config


def _define(command: Command) -> flags.FlagValues:
    """The flags of a command. Those of others are understood, so that they can be refused."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may come after other words
    for flag in (_WORKDIR, *command.flags, *(flag for _, flag in _all_flags())):
        if flag.name not in values:
            _define_one(flag, values)
    for name in ("mode", *_by_flag()):  # taken out before; here for "did you mean"
        if name not in values:
            flags.DEFINE_string(name, "", "", flag_values=values)
    return values


def _define_one(flag: Flag, values: flags.FlagValues) -> None:
    about, default = flag.about, flag.default
    if isinstance(default, bool):
        flags.DEFINE_boolean(flag.name, default, about, flag_values=values)
    elif isinstance(default, int):
        flags.DEFINE_integer(flag.name, default, about, lower_bound=flag.minimum, flag_values=values)
    elif isinstance(default, float):
        flags.DEFINE_float(flag.name, default, about, lower_bound=flag.minimum, flag_values=values)
    elif isinstance(default, tuple):
        flags.DEFINE_list(flag.name, list(default), about, flag_values=values)
    else:
        flags.DEFINE_string(flag.name, default, about, flag_values=values)


def _value(values: flags.FlagValues, flag: Flag):
    value = values[flag.name].value
    return tuple(value) if isinstance(value, list) else value


def _read(values: flags.FlagValues, flag: Flag):
    value = _value(values, flag)
    try:
        return flag.read(value)
    except UserError:
        raise
    except ValueError as error:
        text = ",".join(value) if isinstance(value, tuple) else value
        raise UserError(f"--{flag.name}={_squeezed(str(text))}: {_one_line(error)}") from error


def _refuse_misuse(values: flags.FlagValues, mode: str, rest: Sequence[str] | None) -> None:
    """Flags without a value, flags of other commands, too few or too many words; None: not known yet."""
    command, own = COMMANDS[mode], {flag.name for flag in COMMANDS[mode].flags}
    for flag in (_WORKDIR, *command.flags, *(flag for _, flag in _all_flags())):
        value = values[flag.name].value
        text = ",".join(value) if isinstance(value, list) else value
        if isinstance(text, str) and text.startswith("--"):
            raise UserError(f"--{flag.name} has no value: {text!r} follows it")
    for owner, flag in _all_flags():
        if flag.name not in own and _value(values, flag) != flag.default:
            raise flag.refused(owner, mode)
    if rest is None:
        return
    if command.num_words and (
        len(rest) < command.num_words or len(rest) > command.num_words and not command.more_words
    ):
        wanted = command.words or f"{command.num_words} words"
        raise UserError(f"--mode={mode} wants {wanted}, {len(rest)} were given")
    if rest and not command.num_words:
        raise UserError(f"unexpected argument {rest[0]!r}: settings are given as --config.FIELD=VALUE, without spaces")


def _refuse_groups(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, (Mapping, ConfigDict)):
            raise UserError(f"--config.{name} is a group of fields: set them one by one (all fields: configs/base.py)")


def _one_line(error: Exception) -> str:
    """The message of an error; of one that wraps a traceback, its last line."""
    text = str(error).strip()
    if "Traceback" in text:
        text = text.splitlines()[-1]
    return _squeezed(text).removeprefix(f"{UserError.__module__}.UserError: ")


def _squeezed(text: str) -> str:
    return " ".join(text.split())
