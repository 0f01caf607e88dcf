"""What one file can add to the data half: registries of named things, and plugins, files of the user's own.

The twin of dakd_jax/basics/plugs.py, which this half may not import. Both know a file by the same module name, so that
one that was imported by either is not imported again by the other. docs/EXTENDING.md has the contracts.
"""

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import pathlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Generic, TypeVar

from data_pipelines.basics.errors import DataError

OURS = ("dakd_jax", "data_pipelines")
_OF_A_FILE = "dakd_plugin_"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_hashes: dict[str, str] = {}  # of the modules that registered something: name -> sha256 of the source

Thing = TypeVar("Thing")


class Registry(MutableMapping[str, Thing], Generic[Thing]):
    """Name -> thing. The modules of `package` are imported, in the order of their names, when it is first looked into.

    Args:
      kind: what people call such a thing, for messages.
      package: the folder of plugs, one file each; packages in it are none.
    """

    def __init__(self, kind: str, package: str):
        self.kind, self._package = kind, package
        self._things: dict[str, Thing] = {}
        self._origins: dict[str, str] = {}
        self._discovered = False

    def register(self, name: str, thing: Thing) -> Thing:
        """Adds a thing, and returns it. To be called at the top level of the file that it stands in.

        Raises:
          DataError: a name that cannot be a part of a field's and a file's name, or that another file has registered;
            the same file may again (a notebook's cell, a reload).
        """
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise DataError(f"{self.kind} {name!r}: expected letters, digits and _ in a name, as 'my_city'")
        origin = sys._getframe(1).f_globals["__name__"]
        if origin.split(".")[0] not in OURS:
            self._discover()  # what is registered first keeps the name
        if self._origins.setdefault(name, origin) != origin:
            raise DataError(
                f"{self.kind} {name!r} of {origin} is registered by {self._origins[name]} already; rename it"
            )
        if origin.split(".")[0] not in OURS:
            _hashes[origin] = _hash_of(sys.modules.get(origin))
        self._things[name] = thing
        return thing

    def source_hash(self, name: str) -> str:
        """sha256 in hex of the plugin that a thing came with, '' for one of this project."""
        self._discover()
        return _hashes.get(self._origins[name], "")

    def choose(self, name: str, field: str) -> Thing:
        """The thing of that name, which the setting `field` holds; DataError lists what there is."""
        if name in self:
            return self[name]
        raise DataError(f"{field}={name!r}: {self.expected(name)}")

    def expected(self, name: str) -> str:
        """The end of the error for an unknown name: the nearest name that is known, then all."""
        near = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return (
            f"{hint}expected one of {', '.join(sorted(self))}, or one of a file of your own that config.plugins or "
            "--plugins names (docs/EXTENDING.md)"
        )

    def __getitem__(self, name: str) -> Thing:
        self._discover()
        return self._things[name]

    def __setitem__(self, name: str, thing: Thing) -> None:
        self._discover()
        self._things[name] = thing

    def __delitem__(self, name: str) -> None:
        self._discover()
        del self._things[name]
        self._origins.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        self._discover()
        # This project's by the names of their files, whoever has imported one first; then plugins as they came.
        origins = {name: self._origins.get(name, "") for name in self._things}
        ours = sorted((n for n, of in origins.items() if of.split(".")[0] in OURS), key=lambda name: origins[name])
        return iter([*ours, *(name for name in origins if name not in ours)])

    def __len__(self) -> int:
        self._discover()
        return len(self._things)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # before: a module of the package may look into the registry itself
        for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            if not module.ispkg:
                importlib.import_module(f"{self._package}.{module.name}")


def load(names: Sequence[str], field: str = "--plugins") -> None:
    """Imports plugins, each once in a process.

    Args:
      names: of modules, as 'my_package.my_city', or of files, as 'my_city.py' or 'code/my_city.py'.
      field: that names them, for messages.

    Raises:
      DataError: there is no such module or file, or it fails.
    """
    for name in names:
        if str(name).strip():
            _load(str(name).strip(), field)


def loaded() -> list[str]:
    """The names with which `load` imports, in a worker process, the plugins that have registered something here."""
    found = []
    for name in _hashes:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name != "__main__":  # a spawned process imports that one by itself, as far as it can
            found.append(file if name.startswith(_OF_A_FILE) and file else name)
    return found


def load_as_a_worker(names: Sequence[str]) -> None:
    """load() in a worker process, whose parent has loaded these; most jobs can be done without them."""
    with contextlib.suppress(DataError):
        load(names)


def _load(name: str, field: str) -> None:
    is_file = name.endswith(".py")
    file = pathlib.Path(name).expanduser()
    if is_file and not file.is_file():
        raise DataError(f"{field}: there is no file {name}; give its path from the folder you are in")
    try:
        _from_file(file.resolve()) if is_file else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not is_file and error.name and f"{name}.".startswith(f"{error.name}."):
            raise DataError(
                f"{field}: there is no module {error.name!r}; expected an installed one, or a file, as my_city.py"
            ) from error
        raise _failed(name, field, error) from error
    except (Exception, SystemExit) as error:  # whatever a hand-written file may raise
        raise _failed(name, field, error) from error


def _from_file(file: pathlib.Path) -> None:
    # The name that dakd_jax.basics.plugs gives it, in every process: what is sent to another is found by it.
    known = f"{_OF_A_FILE}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if known in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(known, file)
    module = sys.modules[known] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise


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


def _failed(name: str, field: str, error: BaseException) -> DataError:
    """With the line of the plugin that was executed last."""
    stem = pathlib.Path(name).stem if name.endswith(".py") else name.split(".")[-1]
    of_it = [f for f in traceback.extract_tb(error.__traceback__) if pathlib.Path(f.filename).stem == stem]
    where = f"line {of_it[-1].lineno}: " if of_it else ""
    kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
    return DataError(f"{field}: {name}: {where}{kind}{' '.join(str(error).split())}")
