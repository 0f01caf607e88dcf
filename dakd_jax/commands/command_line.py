"""The command line of run.py: absl flags and ml_collections' config flag, with one-line mistakes."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping

from absl import flags
from ml_collections import ConfigDict, config_flags

from dakd_jax.basics.errors import UserError
from dakd_jax.commands import config_files, overrides

TABLE_MODES = ("train", "plan")  # in which a config that names a table fills or plans it
MODES = ("train", "plan", "evaluate", "protocols", "submit", "attribution", "figures", "verify", "compare")
# Flags whose value may be the next word.
VALUED = ("--mode", "--workdir", "--replay", "--job", "--rows", "--seeds", "--jobs")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line that was understood.

    Attributes:
      config: of the file, with the overrides in it; locked.
      name: of the config file, without its folder and ending.
      mode: one of MODES.
      workdir: where everything goes.
      replay: bundle of --replay, '' for none.
      seeds: of --seeds; () = the one of the config.
      arguments: the two folders of --mode=compare, else none.
      rows: of --rows, names of a table's rows; () = all.
      jobs: stages of a table that are trained at a time.
      job: file of --job, '' for none.
      full: --mode=compare lists all.
      given: fields that --config.FIELD set, by path.
    """

    config: ConfigDict
    name: str
    mode: str
    workdir: pathlib.Path
    replay: str = ""
    seeds: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    jobs: int = 1
    job: str = ""
    full: bool = False
    given: frozenset[str] = frozenset()


def parse(arguments: list[str]) -> Command:
    """Reads --config=FILE[:PRESET], --config.FIELD=VALUE, the other flags, and the folders to compare.

    Raises:
      UserError: unknown name, field, mode, preset or file, or a value of the wrong type.
    """
    try:
        argv = flags.FLAGS.read_flags_from_files(["run.py", *arguments], force_gnu=False)
    except flags.Error as error:
        raise UserError(f"command line: {_one_line(error)}") from error
    file, argv = _take_file(argv)
    config, name = config_files.load(file)
    argv = overrides.settle(argv, config)
    try:
        values = _define(argv, config)
        rest = values(argv)[1:]
        config = values.config
    except UserError:
        raise
    except Exception as error:  # whatever absl and the config flag may raise
        raise UserError(f"command line: {_one_line(error)} (all fields: configs/base.py)") from error
    is_table = "table" in config and values.mode in TABLE_MODES
    _refuse_misuse(values, rest, is_table)
    _refuse_groups(config_flags.get_override_values(values["config"]))
    config = _at_scale(config, config_flags.get_override_values(values["config"]))
    return Command(
        config=config,
        name=name,
        mode=values.mode,
        workdir=pathlib.Path(values.workdir or config.workdir or f"runs/{_pair(config.data)}").expanduser(),
        replay=values.replay,
        seeds=_seeds(values.seeds),
        arguments=tuple(rest),
        rows=tuple(text.strip() for text in values.rows),
        jobs=values.jobs,
        job=values.job,
        full=values.full,
        given=frozenset(config_flags.get_override_values(values["config"])),
    )


def _pair(data: ConfigDict) -> str:
    """Of the default workdir: data.name; where others are named, as gta5-my_city. Names and folders need not exist."""
    if not (data.source or data.target):
        return data.name
    source = "+".join(map(str, data.source)) or data.name
    return f"{source}-{pathlib.Path(data.target or data.name).expanduser().resolve().name}"


def _take_file(argv: list[str]) -> tuple[str, list[str]]:
    """(what --config names, the last one where there are more; all other words)."""
    found, rest, words = config_files.DEFAULT, [], iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--" or word in VALUED:  # all that follows is no flag; or the next word is no flag
            rest += [word, *(words if word == "--" else itertools.islice(words, 1))]
        elif flag not in ("--config", "-config"):
            rest.append(word)
        elif equals:
            found = value
        elif (found := next(words, "")) == "" or found.startswith("--"):
            follows = f": {found!r} follows it" if found else ""
            raise UserError(f"--config has no value{follows}; expected FILE[:PRESET], as --config=configs/demo.py")
    return found, rest


def _at_scale(config: ConfigDict, given: dict) -> ConfigDict:
    """Settles config.scales, {data.name: fields}, where a config has it: the fields of its benchmark take effect.

    Here, and not in the config's file, since data.name may be given on the command line; so may any of those fields
    (`given`, by path with dots), and what is given holds.
    """
    if "scales" not in config:
        return config
    scale = config_files.flat(config.scales.get(config.data.name, ConfigDict()))
    config.update_from_flattened_dict({field: value for field, value in scale.items() if field not in given})
    with config.unlocked():
        del config["scales"]
    return config


def _define(argv: list[str], config: ConfigDict) -> flags.FlagValues:
    """The flags; `config` takes the overrides."""
    values = flags.FlagValues()
    # Of the words only those that are overrides: a stray --config, as another flag's value, would be taken for a file.
    fields = [word for word in argv if overrides.is_override(word)]
    config_flags.DEFINE_config_dict("config", config, "The experiment.", flag_values=values, sys_argv=fields)
    flags.DEFINE_enum("mode", MODES[0], MODES, "What to do.", flag_values=values)
    flags.DEFINE_list("seeds", [], "Seeds to train one after the other.", flag_values=values)
    flags.DEFINE_string("replay", "", "A blackbox-* folder: runs its step again.", flag_values=values)
    flags.DEFINE_string("workdir", "", "Where everything goes.", flag_values=values)
    flags.DEFINE_list("rows", [], "Rows of a table to train.", flag_values=values)
    flags.DEFINE_integer("jobs", 1, "Stages of a table to train at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("job", "", "A stage of a table, as its command wrote it.", flag_values=values)
    flags.DEFINE_boolean("full", False, "All differences of --mode=compare.", flag_values=values)
    return values


def _refuse_misuse(values: flags.FlagValues, rest: list[str], is_table: bool) -> None:
    if (values.rows or values.jobs != 1) and not is_table:
        raise UserError("--rows and --jobs go with a table of the paper, as --config=configs/table1.py")
    if values.seeds and values.mode != "train" and not is_table:
        raise UserError(f"--seeds goes with --mode=train, not {values.mode}; set --config.seed")
    if values.mode == "compare" and len(rest) != 2:
        raise UserError(f"--mode=compare wants the folders of two runs, {len(rest)} were given")
    for name in ("workdir", "replay", "job", "rows", "seeds"):
        text = values[name].value
        text = text if isinstance(text, str) else ",".join(text)
        if text.startswith("--"):
            raise UserError(f"--{name} has no value: {text!r} follows it")
    if rest and values.mode != "compare":
        raise UserError(f"unexpected argument {rest[0]!r}: settings are given as --config.FIELD=VALUE, without spaces")
    if values.full and values.mode != "compare":
        raise UserError("--full goes with --mode=compare")


def _refuse_groups(overrides: dict) -> None:
    for name, value in overrides.items():
        if isinstance(value, (Mapping, ConfigDict)):
            raise UserError(f"--config.{name} is a group of fields: set them one by one (all fields: configs/base.py)")


def _seeds(texts: list[str]) -> tuple[int, ...]:
    seeds = tuple(int(text) for text in texts if text.isdecimal() and len(text) < 20)
    if len(set(seeds)) < len(texts):
        raise UserError(f"--seeds={','.join(texts)}: expected different numbers >= 0, e.g. --seeds=0,1,2")
    return seeds


def _one_line(error: Exception) -> str:
    """The message of an error; of one that wraps a traceback, its last line."""
    text = str(error).strip()
    if "Traceback" in text:
        text = text.splitlines()[-1]
    return " ".join(text.split()).removeprefix(f"{UserError.__module__}.UserError: ")
