"""The rooms: imports go downward only, none holds too much, each half knows what it may (docs/ARCHITECTURE.md)."""

import ast
import json
from collections import defaultdict

import pytest
from PIL import Image
from rooms import CONVERTERS, FLOORS, HALVES, IMPORTS, KNOWN, MODULES, PROJECT, arrows, picture

FORBIDDEN = {
    "dakd_jax": ("tensorflow", "tensorflow_datasets", "data_pipelines"),
    "data_pipelines": ("jax", "flax", "optax", "orbax", "dakd_jax"),
}
MOST = 10  # modules and packages in a package
HOLD_MORE = ("commands", "backbones", "terms", "adaptation", "datasets", "checks")  # folders of plugs

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
    assert known == (KNOWN if half == "dakd_jax" else set())


@pytest.mark.parametrize("package", CONVERTERS)
def test_converters_are_imported_by_exports_alone_and_inside_functions(package):
    imports = {module: names for module, names in IMPORTS.items() if module.split(".")[0] == "dakd_jax"}
    found = {module for module, names in imports.items() if package in {name.split(".")[0] for name in names}}
    assert found == {f"dakd_jax.deploy.export.{module}" for module in CONVERTERS[package]}
    for module in found:
        for node in ast.parse(MODULES[module].read_text()).body:
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            assert package not in {name.split(".")[0] for name in names}, f"{module} imports {package} at its top"


def test_the_picture_of_the_rooms_is_of_todays_imports():
    drawn = json.loads(Image.open(PROJECT / "docs/rooms.png").text["Rooms"])
    assert drawn == picture(), "draw it anew: python docs/draw_rooms.py"


def test_each_room_below_stages_gets_its_own_part_of_the_config():
    """objectives/options.py knows the fields that plugs bring, basics/records.py writes a config down."""
    below = FLOORS["dakd_jax"][FLOORS["dakd_jax"].index("stages") + 1 :]
    takes = {
        module
        for module, path in MODULES.items()
        if module.split(".")[0] == "dakd_jax" and module.split(".")[1:2] and module.split(".")[1] in below
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.arg) and node.arg == "config"
    }
    assert takes == {"dakd_jax.objectives.options", "dakd_jax.basics.records"}


def test_a_whole_config_says_what_it_is():
    untyped = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        if module.split(".")[0] == "dakd_jax"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in (*function.args.args, *function.args.kwonlyargs)
        if node.arg == "config" and node.annotation is None
    ]
    assert not untyped


def test_a_class_name_stands_for_one_class():
    found = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and module.split(".")[0] == "dakd_jax":
                found[node.name].append(module)
    assert not {name: modules for name, modules in found.items() if len(modules) > 1}
