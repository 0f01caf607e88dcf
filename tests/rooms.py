"""The rooms of the code, and which imports which, read from the files; for tests and docs/draw_rooms.py."""

import ast
import functools
import pathlib
from collections import defaultdict

PROJECT = pathlib.Path(__file__).resolve().parents[1]
HALVES = ("dakd_jax", "data_pipelines")

# From the roof down: a room imports from those below it alone.
FLOORS = {
    "dakd_jax": (
        "__main__", "notebook", "commands", "deploy", "studies", "stages", "training", "evaluation", "objectives",
        "models", "basics",
    ),
    "data_pipelines": (
        "tfds_builders", "prepare", "feeding", "doctor", "domains", "augmentation", "datasets", "reading", "pictures",
        "basics",
    ),
}  # fmt: skip

# Converters and runtimes of exports, each imported by these files alone, and inside functions.
CONVERTERS = {
    "onnx": {"onnx", "onnx_graph"},
    "onnxruntime": {"onnx"},
    "tensorflow": {"tflite", "savedmodel"},
    "ai_edge_litert": {"tflite"},
}

# What dakd_jax knows of data_pipelines, and where: (module of a file, what it imports), below dakd_jax.deploy and
# data_pipelines.pictures.
OPENS_PICTURES = {
    (f"dakd_jax.deploy.{module}", f"data_pipelines.pictures.{opened}")
    for module, opened in (
        ("network", "handed_in"),
        ("network", "films"),
        ("predicting.inputs", "films"),
        ("predicting.pictures", "handed_in"),
        ("predicting.films", "films"),
        ("show.answers", "handed_in"),
        ("show.page_server", "handed_in"),
        ("show.film_frames", "films"),
    )
}

# All that one half knows of what it may not import, by the two above.
KNOWN = OPENS_PICTURES | {(f"dakd_jax.deploy.export.{module}", "tensorflow") for module in CONVERTERS["tensorflow"]}


def module_of(path: pathlib.Path) -> str:
    """Full name of a file's module."""
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
        if module.startswith(f"{package}."):
            of = _below(package, module)
            found[of] |= {_below(package, name) for name in names if name.startswith(f"{package}.")} - {of}
    return found


def _below(package: str, module: str) -> str:
    return module.removeprefix(f"{package}.").split(".")[0]


@functools.cache
def _above(half: str) -> dict[str, set[str]]:
    """What stands above a half, {name: rooms of it that are imported}: run.py, and the configs above dakd_jax."""
    above = {"run.py": [PROJECT / "run.py"], "configs": sorted((PROJECT / "configs").glob("*.py"))}
    names = {of: set().union(*map(imported, paths)) for of, paths in above.items()}
    rooms = {
        of: {_below(half, name) for name in found if name.startswith(f"{half}.")} & set(FLOORS[half])
        for of, found in names.items()
    }
    return {of: found for of, found in rooms.items() if found}


def picture() -> dict:
    """What docs/rooms.png shows: {half: [[room, what it is, rooms that it imports], ...]}, from the roof down."""
    shown = {}
    for half in HALVES:
        below = _above(half) | arrows(half)
        order = [*_above(half), *FLOORS[half]]
        shown[half] = [[room, _words(half, room), sorted(below[room], key=order.index)] for room in order]
    return shown


def _words(half: str, room: str) -> str:
    """The first sentence of a room's docstring."""
    if room == "run.py":
        return "The command line: finds the command, hands it the config and the data"
    path = MODULES.get(f"{half}.{room}") or PROJECT / room / "__init__.py"
    words = " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split())
    return words.split(". ")[0].rstrip(".")
