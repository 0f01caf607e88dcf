"""The rooms: imports go downward only, none holds too much, each half knows what it may (docs/ARCHITECTURE.md)."""

import ast
import pathlib
from collections import defaultdict

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[1]
HALVES = ("dakd_jax", "data_pipelines")

# From the roof down: a room imports from those below it alone.
FLOORS = {
    "dakd_jax": (
        "__main__", "notebook", "commands", "studies", "stages", "training", "evaluation", "objectives", "models",
        "basics",
    ),
    "data_pipelines": (
        "tfds_builders", "prepare", "feeding", "doctor", "domains", "augmentation", "datasets", "reading", "pictures",
        "basics",
    ),
}  # fmt: skip
FORBIDDEN = {
    "dakd_jax": ("tensorflow", "tensorflow_datasets", "data_pipelines"),
    "data_pipelines": ("jax", "flax", "optax", "orbax", "dakd_jax"),
}
MOST = 10  # modules and packages in a package
HOLD_MORE = ("commands", "backbones", "terms", "adaptation", "datasets", "checks")  # folders of plugs


def module_of(path: pathlib.Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for half in HALVES for path in (PROJECT / half).rglob("*.py")}


def imported(path: pathlib.Path) -> set[str]:
    """Full names of all that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


IMPORTS = {module: imported(path) for module, path in MODULES.items()}


def arrows(package: str) -> dict[str, set[str]]:
    """Which things directly in a package import which others of them."""
    found = defaultdict(set)
    for module, names in IMPORTS.items():
        if not module.startswith(f"{package}."):
            continue
        of = module.removeprefix(f"{package}.").split(".")[0]
        others = {n.removeprefix(f"{package}.").split(".")[0] for n in names if n.startswith(f"{package}.")}
        found[of] |= others - {of}
    return found


PACKAGES = sorted(module for module, path in MODULES.items() if path.name == "__init__.py")


@pytest.mark.parametrize("half", HALVES)
def test_rooms_import_downward_only(half):
    floors = FLOORS[half]
    found = arrows(half)
    assert set(found) == set(floors), "a room that FLOORS does not name, or one that is gone"
    upward = [f"{a} -> {b}" for a in found for b in found[a] if floors.index(b) < floors.index(a)]
    assert not upward


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_in_a_package_imports_in_a_circle(package):
    left = arrows(package)
    while left:
        lowest = [name for name, below in left.items() if not below & set(left)]
        assert lowest, f"in {package}: {dict(left)}"
        for name in lowest:
            del left[name]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_holds_ten_things_at_most(package):
    folder = MODULES[package].parent
    things = [p for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    held = sorted(p.stem for p in things if not p.stem.startswith("__"))
    assert folder.name in HOLD_MORE or len(held) <= MOST, held


@pytest.mark.parametrize("half", HALVES)
def test_the_halves_do_not_know_each_other(half):
    known = {
        (module, name)
        for module, names in IMPORTS.items()
        for name in names
        if module.split(".")[0] == half and name.split(".")[0] in FORBIDDEN[half]
    }
    assert not known


def test_a_class_name_stands_for_one_class():
    found = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and module.split(".")[0] == "dakd_jax":
                found[node.name].append(module)
    assert not {name: modules for name, modules in found.items() if len(modules) > 1}
