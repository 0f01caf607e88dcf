"""The command line of run.py: absl flags and ml_collections' config flag, with one-line mistakes."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Mapping

from absl import flags
from ml_collections import ConfigDict, config_flags

from dakd_jax.errors import UserError

DEFAULT_CONFIG = str(pathlib.Path(__file__).resolve().parents[1] / "configs" / "demo.py")
TABLE_MODES = ("train", "plan")  # in which a config that names a table fills or plans it
MODES = ("train", "plan", "evaluate", "protocols", "submit", "attribution", "figures", "verify", "compare")


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
    given: frozenset[str] = frozenset()


def parse(arguments: list[str]) -> Command:
    """Reads --config=FILE[:PRESET], --config.FIELD=VALUE, the other flags, and the folders to compare.

    Raises:
      UserError: unknown name, field, mode, preset or file, or a value of the wrong type.
    """
    argv = ["run.py", *arguments]
    try:
        values = _define(argv)
        rest = values(argv)[1:]
        config = values.config
    except UserError:
        raise
    except AttributeError as error:
        raise _unknown_field(arguments, error) from error
    except Exception as error:  # whatever absl, the config flag or a hand-written file may raise
        raise UserError(f"command line: {_one_line(error)} (all fields: configs/base.py)") from error
    is_table = isinstance(config, ConfigDict) and "table" in config and values.mode in TABLE_MODES
    _refuse_misuse(values, rest, is_table)
    file = pathlib.Path(config_flags.get_config_filename(values["config"]).split(":")[0])
    if not isinstance(config, ConfigDict):
        there = os.path.isfile(file)  # False, and no exception, for what can be no path
        reason = "get_config() returns no ConfigDict; start from configs/base.py" if there else _no_such(file)
        raise UserError(" ".join(f"--config={file}: {reason}".split()))
    _refuse_groups(config_flags.get_override_values(values["config"]))
    config = _at_scale(config, config_flags.get_override_values(values["config"]))
    return Command(
        config=config,
        name=file.stem,
        mode=values.mode,
        workdir=pathlib.Path(values.workdir or config.workdir or f"runs/{config.data.name}").expanduser(),
        replay=values.replay,
        seeds=_seeds(values.seeds),
        arguments=tuple(rest),
        rows=tuple(text.strip() for text in values.rows),
        jobs=values.jobs,
        job=values.job,
        given=frozenset(config_flags.get_override_values(values["config"])),
    )


def _at_scale(config: ConfigDict, given: dict) -> ConfigDict:
    """Settles config.scales, {data.name: fields}, where a config has it: the fields of its benchmark take effect.

    Here, and not in the config's file, since data.name may be given on the command line; so may any of those fields
    (`given`, by path with dots), and what is given holds.
    """
    if "scales" not in config:
        return config
    scale = config.scales.get(config.data.name, ConfigDict())
    config.update_from_flattened_dict({field: value for field, value in _flat(scale).items() if field not in given})
    with config.unlocked():
        del config["scales"]
    return config


def _define(argv: list[str]) -> flags.FlagValues:
    """The flags; the default config file is loaded, with its overrides, in here already."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", DEFAULT_CONFIG, "Experiment: a file of configs/.", flag_values=values, sys_argv=argv
    )
    flags.DEFINE_enum("mode", MODES[0], MODES, "What to do.", flag_values=values)
    flags.DEFINE_list("seeds", [], "Seeds to train one after the other.", flag_values=values)
    flags.DEFINE_string("replay", "", "A blackbox-* folder: runs its step again.", flag_values=values)
    flags.DEFINE_string("workdir", "", "Where everything goes.", flag_values=values)
    flags.DEFINE_list("rows", [], "Rows of a table to train.", flag_values=values)
    flags.DEFINE_integer("jobs", 1, "Stages of a table to train at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("job", "", "A stage of a table, as its command wrote it.", flag_values=values)
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
        raise UserError(f"unexpected argument {rest[0]!r}: settings are given as --config.FIELD=VALUE")


def _refuse_groups(overrides: dict) -> None:
    for name, value in overrides.items():
        if isinstance(value, (Mapping, ConfigDict)):
            raise UserError(f"--config.{name} is a group of fields: set them one by one (all fields: configs/base.py)")


def _seeds(texts: list[str]) -> tuple[int, ...]:
    seeds = tuple(int(text) for text in texts if text.isdecimal() and len(text) < 20)
    if len(set(seeds)) < len(texts):
        raise UserError(f"--seeds={','.join(texts)}: expected different numbers >= 0, e.g. --seeds=0,1,2")
    return seeds


def _no_such(file: pathlib.Path) -> str:
    near = sorted(p.name for p in file.parent.glob("*.py") if p.stem not in ("__init__", "base"))
    return f"no such file; {file.parent}/ holds {', '.join(near) or 'no config'}"


def _one_line(error: Exception) -> str:
    """The message of an error; of one that wraps a traceback, its last line."""
    text = str(error).strip()
    if "Traceback" in text:
        text = text.splitlines()[-1]
    return " ".join(text.split()).removeprefix(f"{UserError.__module__}.UserError: ")


def _unknown_field(arguments: list[str], error: AttributeError) -> UserError:
    """Which --config.FIELD it was, and the known field that is nearest."""
    part = str(error).strip("\"'\\").split("'")[0].split("\\")[0]
    fields = [a.removeprefix("--config.").split("=")[0] for a in arguments if a.startswith("--config.")]
    field = next((f for f in fields if part in f.split(".")), part)
    config = parse([a for a in arguments if not a.startswith("--config.")]).config
    near = difflib.get_close_matches(field, list(_flat(config)), n=1)
    hint = f"did you mean --config.{near[0]}?" if near else f"there is {', '.join(config)}"
    return UserError(f"--config.{field} is unknown: {hint} (all fields: configs/base.py)")


def _flat(config: ConfigDict, prefix: str = "") -> dict:
    """All fields, by the names that --config takes: 'seed', 'data.toy.size', ..."""
    found = {}
    for name, value in config.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {f"{prefix}{name}": value}
    return found
