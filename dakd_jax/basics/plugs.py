"""What one file can add: registries of named things, and plugins, files of the user's own (docs/EXTENDING.md)."""

import contextlib
import difflib
import hashlib
import importlib
import pathlib
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from dakd_jax.basics import installation
from dakd_jax.basics.errors import UserError

OURS = ("dakd_jax", "data_pipelines")
_loaded: dict[str, str] = {}  # module name -> sha256 of its source


Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Name -> thing. The modules of `package` are imported, in the order of their names, when it is first looked into.

    Args:
      kind: what people call such a thing, for messages.
      package: the folder of plugs, one file each.
      types: what such a thing is an instance of; () = anything.
    """

    def __init__(self, kind: str, package: str, types: tuple[type, ...] = ()):
        self.kind, self._package, self._types = kind, package, types
        self._things: dict[str, Thing] = {}
        self._origins: dict[str, str] = {}
        self._discovered = False

    def register(self, name: str, thing: Thing, depth: int = 1) -> Thing:
        """Adds a thing, and returns it. To be called at the top level of the file that it stands in.

        Args:
          depth: how many calls away that top level is.

        Raises:
          UserError: it is of none of the registry's types; or another file has registered that name; the same file may
            again (a notebook's cell, a reload).
        """
        origin = sys._getframe(depth).f_globals["__name__"]
        if not origin.startswith(f"{self._package}."):
            self._discover()  # what comes from outside comes last
        if self._types and not isinstance(thing, self._types):
            raise UserError(f"{self.kind} {name!r} is a {type(thing).__name__}; expected a {self._types[0].__name__}")
        if self._origins.setdefault(name, origin) != origin:
            raise UserError(
                f"{self.kind} {name!r} is registered by {_place(self._origins[name])} already; rename yours"
            )
        self._things[name] = thing
        return thing

    def source_hash(self, name: str) -> str:
        """sha256 in hex of the plugin that a thing came with, '' for one of this project; see source_hash below."""
        self._discover()
        return source_hash(self._origins[name])

    def plugin(self, name: str) -> str:
        """The file's or the module's name, without its folder, of the plugin that a thing came with, '' for none."""
        return pathlib.PurePath(_place(self._origins[name])).name if self.source_hash(name) else ""

    def choose(self, name: str, field: str) -> Thing:
        """The thing of that name, which the config's `field` holds; UserError lists what there is."""
        if name in self:
            return self[name]
        near = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"config.{field}={name!r}: {hint}expected one of {', '.join(self)}, or one of a file of "
                        "your own that config.plugins names (docs/EXTENDING.md)")  # fmt: skip

    @contextlib.contextmanager
    def blamed(self, name: str) -> Iterator[None]:
        """Within it what a plugin's code raises is a mistake of who wrote it: a UserError with its file and line."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            module = sys.modules.get(self._origins.get(name, ""))
            if module is None or not self.source_hash(name):
                raise
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == module.__file__]
            where = f"{module.__file__}{f':{lines[-1]}' if lines else ''}"
            what = " ".join(str(error).split())[:300]
            raise UserError(f"{where}: {self.kind} {name!r} fails: {type(error).__name__}: {what}") from error

    def __getitem__(self, name: str) -> Thing:
        self._discover()
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(self._things)

    def __len__(self) -> int:
        self._discover()
        return len(self._things)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # before: a module of the package may look into the registry itself
        for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{module.name}")


def _place(module: str) -> str:
    """A module as people know it: a plugin's file, or its name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file if module.startswith("dakd_plugin_") and file else module


def load(names: Sequence[str]) -> None:
    """Imports plugins, each once in a process.

    Args:
      names: of modules, as 'my_package.my_losses', or of files, as 'my_loss.py' or 'code/my_loss.py'.

    Raises:
      UserError: there is no such module or file, or it fails.
    """
    for name in names:
        if str(name).strip():
            _load(str(name).strip())


def source_hash(module: str) -> str:
    """sha256 in hex of the source of what a module belongs to; '' for this project's own modules.

    Of a plugin that is a package all of its .py files count; of a module that a plugin imports, its own file.
    """
    if module.split(".")[0] in OURS:
        return ""
    of = next((name for name in _loaded if module == name or module.startswith(f"{name}.")), None)
    if of is None:
        _loaded[of := module] = _hash_of(sys.modules[module])
    return _loaded[of]


def _load(name: str) -> None:
    try:
        module = _from_file(name) if name.endswith(".py") else importlib.import_module(name)
    except UserError as error:
        if str(error).startswith("config.plugins: "):
            raise
        raise _failed(name, error) from error
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            folder = " (it is a folder: name the file in it)" if pathlib.Path(name).expanduser().is_dir() else ""
            raise UserError(
                f"config.plugins: there is no module {error.name!r}{folder}; expected an installed one, "
                "or a file, as my_loss.py"
            ) from error
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:  # whatever a hand-written file may raise
        raise _failed(name, error) from error
    _loaded[module.__name__] = _hash_of(module)


def _from_file(name: str):
    file = pathlib.Path(name).expanduser()
    if not file.is_file():
        raise UserError(f"config.plugins: there is no file {name}; give its path from the folder you are in")
    # The same name in every process: what is sent from one to the other is found by it.
    known = f"dakd_plugin_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    if known in sys.modules and _loaded.get(known) == _hash_of(sys.modules[known]):
        return sys.modules[known]  # else a notebook's user has changed the file
    return installation.load_file(known, file)


def _hash_of(module) -> str:
    """Of its file, or of all Python files of a package with their paths; '' for a module without any."""
    file = getattr(module, "__file__", None)
    if not file:
        return ""
    root = pathlib.Path(file)
    if root.name != "__init__.py":
        return hashlib.sha256(root.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for path in sorted(root.parent.rglob("*.py")):
        digest.update(path.relative_to(root.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _failed(name: str, error: BaseException) -> UserError:
    """With the line of the plugin that was executed last."""
    stem = pathlib.Path(name).stem if name.endswith(".py") else name.split(".")[-1]
    of_it = [f for f in traceback.extract_tb(error.__traceback__) if pathlib.Path(f.filename).stem == stem]
    where = f"line {of_it[-1].lineno}: " if of_it else ""
    what = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return UserError(" ".join(f"config.plugins: {name}: {where}{what}{error}".split()))
