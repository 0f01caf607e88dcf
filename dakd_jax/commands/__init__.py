"""What `python run.py --mode=X` and `dakd X` can do: one file a command, found by its name; docs/EXTENDING.md.

--help, and a mistake in a flag, look into all of these files. So none imports jax, or anything else that takes long,
at its top level: only the function of the command that was chosen does.
"""

import ast
import dataclasses
import functools
import pathlib
import pkgutil
import re
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from dakd_jax.basics.errors import UserError
from dakd_jax.basics.plugs import Registry
from dakd_jax.objectives.training_data import TrainingData

# Exit codes, besides those of stops by a signal: 128 + its number.
DONE, DIFFERENT, USER_MISTAKE, DIVERGED, STAGES_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130  # 5: supervision.LOST
LEFT_OUT = DIFFERENT  # predict could not read every picture

# Headings of `dakd --help`, in this order; what is of none of them comes last, and '' is not listed.
TRAIN, USE, LOOK, HAND_IN = "train and plan", "use a network", "look at networks", "hand in"
KEEP, DATA = "keep in order", "data"
GROUPS = (TRAIN, USE, LOOK, HAND_IN, KEEP, DATA)

_RESERVED = ("config", "mode", "workdir", "help", "version", "flagfile", "undefok")  # flags of every command


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command, --NAME=VALUE; one whose default is True or False is also --NAME and --noNAME.

    Attributes:
      name: letters, digits and _.
      default: its value where it is not given, a str, bool, int, float, or () for words with commas between them; what
        is given is read as that type.
      about: one line of help.
      minimum: of a number.
      read: from the value, the default as well, to what the command is handed; raises ValueError or UserError for one
        that cannot be.
      instead: what to do where another command is given it, for the line that refuses it.
    """

    name: str
    default: str | bool | int | float | tuple
    about: str
    minimum: int | float | None = None
    read: Callable[[Any], Any] = lambda value: value
    instead: str = ""

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise UserError(f"a command's flag {self.name!r}: its name is of letters, digits and _")
        words = isinstance(self.default, tuple) and all(isinstance(word, str) for word in self.default)
        if not (words or isinstance(self.default, (str, bool, int, float))):
            raise UserError(f"--{self.name}: its default is {self.default!r}; expected a str, bool, number or words")

    def refused(self, owner: str, mode: str) -> UserError:
        """What to raise where the flag, which the command `owner` has, is given to the command `mode`."""
        instead = f"; {self.instead}" if self.instead else ""
        return UserError(f"--{self.name} goes with --mode={owner}, not {mode}{instead}")


@dataclasses.dataclass(frozen=True)
class Invocation:
    """A command line that was understood.

    Attributes:
      config: of the file, with the overrides in it; locked.
      name: of the config file, without its folder and ending.
      mode: name of the command.
      workdir: where everything goes.
      flags: values of the command's own flags, by name.
      words: those that are no flags.
      given: fields that --config.FIELD set, by path.
    """

    config: ConfigDict
    name: str
    mode: str
    workdir: pathlib.Path
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    words: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context(Invocation):
    """All that a command is handed.

    Attributes:
      console: to print to.
      typed: the command as a person gave it, for pages and records.
      open_feed: from config.data to the data.
      toy_picture: from a number and (width, height) to a picture of the toy city, uint8 [height, width, 3]; None where
        there is no toy city.
    """

    console: Console
    typed: str
    open_feed: Callable[[ConfigDict], TrainingData]
    toy_picture: Callable[[int, tuple[int, int]], Any] | None = None

    @functools.cached_property
    def feed(self) -> TrainingData:
        """The data of config.data, opened when it is first asked for. Raises DataError where they cannot be."""
        return self.open_feed(self.config.data)

    def say(self, line: str) -> None:
        """Prints a line as it is, however long, whatever signs are in it."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of run.py.

    Attributes:
      page: what `dakd NAME --help` prints above its flags, the file's docstring: WHAT IT DOES: HOW IT IS CALLED, and
        more where that is needed. WHAT IT DOES is its line in `dakd --help`.
      run: does it; returns the exit code, None stands for 0.
      group: the heading of its line.
      place: of the line under its heading, the lowest first.
      flags: its own.
      words: what the words besides the flags are, '' where it takes none.
      num_words: how many it wants.
      more_words: whether it takes more than these.
      fields: of the config that matter for it most, for its page.
      check: raises UserError for what does not go together; called before any work.
      by_flag: --NAME=WORD is --mode=NAME WORD as well.
    """

    page: str
    run: Callable[[Context], int | None]
    group: str = "yours"
    place: int = 9
    flags: tuple[Flag, ...] = ()
    words: str = ""
    num_words: int = 0
    more_words: bool = False
    fields: tuple[str, ...] = ()
    check: Callable[[Invocation], None] = lambda invocation: None
    by_flag: bool = False

    def __post_init__(self):
        if not isinstance(self.page, str) or not self.page.strip():
            raise UserError("a command has no help: give it its file's docstring, Command(__doc__, run), and write one")
        if not callable(self.run):
            raise UserError(f"a command's run is {self.run!r}; expected a function of its context")
        if not (isinstance(self.flags, tuple) and all(isinstance(flag, Flag) for flag in self.flags)):
            raise UserError(f"flags of a command are {self.flags!r}; expected a tuple of Flag, as (Flag(...),)")
        names = [flag.name for flag in self.flags]
        if taken := set(names) & set(_RESERVED):
            raise UserError(f"a command has a flag --{min(taken)}, which every command has already; rename it")
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"a command has the flag --{min(twice)} twice; rename one")

    @property
    def about(self) -> str:
        """What it does, in a few words."""
        return _about(self.page)

    def code(self, context: Context) -> int:
        """Runs it; its exit code. Raises UserError where it returns none."""
        code = self.run(context)
        if code is not None and not isinstance(code, int):
            raise UserError(f"--mode={context.mode} returned {code!r}; expected an exit code, or None for 0")
        return code or DONE


@dataclasses.dataclass(frozen=True)
class Program:
    """A command with a command line of its own, a package that `python -m` runs; it takes no config.

    Attributes:
      module: its full name.
      file: its __main__.py.
    """

    module: str
    file: pathlib.Path
    group: str = DATA
    place: int = 9

    @property
    def about(self) -> str:
        """What it does, in a few words: its docstring's, which is read without importing it."""
        return _about(ast.get_docstring(ast.parse(self.file.read_bytes())) or "")

    def run(self, words: Sequence[str]) -> int:
        """The exit code of `python -m MODULE WORDS`."""
        sys.argv[1:] = words
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            return ended.code or DONE
        return DONE


COMMANDS: Registry[Command | Program] = Registry("command", __name__, (Command, Program))


def register_programs(package) -> None:
    """Adds the programs of a package, those of its packages that have a __main__.py, as commands for data."""
    for module in pkgutil.iter_modules(package.__path__):
        file = pathlib.Path(module.module_finder.path, module.name, "__main__.py")
        if file.is_file():
            COMMANDS.register(module.name, Program(f"{package.__name__}.{module.name}", file))


def listed() -> dict[str, list[str]]:
    """{heading: names} of all commands that people call, in the order of `dakd --help`."""
    shown = [name for name in COMMANDS if COMMANDS[name].group]
    groups = dict.fromkeys([*GROUPS, *sorted(COMMANDS[name].group for name in shown)])
    found = {group: [name for name in shown if COMMANDS[name].group == group] for group in groups}
    return {group: sorted(names, key=lambda name: (COMMANDS[name].place, name)) for group, names in found.items()}


def _about(page: str) -> str:
    lines = page.strip().splitlines() or [""]
    return lines[0].partition(": ")[0].strip(" .")
