"""What documents and docstrings name is there: files, links, and what the code in them imports."""

import ast
import json
import pathlib
import re

import pytest
from planted_faults import FAULTS
from rooms import MODULES, PROJECT

FOLDERS = ("benchmarks", "configs", "dakd_jax", "data_pipelines", "docs", "notebooks", "tests")
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("notebooks/*.ipynb")])
NOT_THERE = ("configs/nope.py", "dakd_jax/run.py")  # a file that a test asks for in vain, and one of a wheel
SOURCES = sorted([PROJECT / "run.py", *(path for folder in FOLDERS for path in PROJECT.glob(f"{folder}/**/*.py"))])
A_PATH = re.compile(rf"(?<![\w./-])(?:\.\./)?((?:{'|'.join(FOLDERS)})/[\w./-]*\.(?:py|md|png|ipynb|j2|csv|json|npz))\b")
A_FILE = re.compile(r"(?<![\w>])([a-z_-][\w-]*\.py)\b")
A_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
A_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITTEN = {"checkpoints/", "tensorboard/"}  # folders of a run


def ids(paths):
    return [str(path.relative_to(PROJECT)) for path in paths]


def text_of(path: pathlib.Path) -> str:
    """A document's text; of a notebook its cells, without what they printed."""
    if path.suffix != ".ipynb":
        return path.read_text()
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])


def code_of(path: pathlib.Path) -> list[str]:
    """The Python in a document."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return A_BLOCK.findall(path.read_text())


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_files_that_a_document_names_exist(path):
    named = A_PATH.findall(text_of(path))
    assert not [name for name in named if not (PROJECT / name).exists()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_links_of_a_document_lead_somewhere(path):
    links = [link for link in A_LINK.findall(text_of(path)) if "://" not in link]
    assert not [link for link in links if not (path.parent / link).exists()]


def test_files_that_docstrings_and_comments_name_exist():
    named = {(str(path.relative_to(PROJECT)), name) for path in SOURCES for name in A_PATH.findall(path.read_text())}
    assert not {(path, name) for path, name in named if not (PROJECT / name).exists() and name not in NOT_THERE}


def test_the_map_of_the_code_names_files_that_are_there():
    names = {path.name for path in SOURCES}
    assert not set(A_FILE.findall((PROJECT / "docs/ARCHITECTURE.md").read_text())) - names


def test_the_map_of_the_code_names_folders_that_are_there():
    folders = {f"{path.relative_to(PROJECT)}/" for path in PROJECT.glob("*/**/") if path.is_dir()}
    named = set(re.findall(r"`([\w/]+/)`", (PROJECT / "docs/ARCHITECTURE.md").read_text())) - WRITTEN
    assert not {name for name in named if not any(f"/{folder}".endswith(f"/{name}") for folder in folders)}


def test_the_planted_faults_can_be_planted():
    assert not [fault.name for fault in FAULTS if (PROJECT / fault.file).read_text().count(fault.right) != 1]


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_what_the_code_of_a_document_imports_is_there(path):
    modules, missing = {}, []
    for node in (node for code in code_of(path) for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("dakd_jax", "data_pipelines"):
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name: of for name, of in names.items() if of in MODULES}
            missing += [alias.name for alias in node.names if not _has(node.module, alias.name)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            missing += [ast.unparse(node)] * (not _has(modules[node.value.id], node.attr))
    assert not missing


def _has(module: str, name: str) -> bool:
    """Whether a module of the project has a name at its top level, without importing it."""
    if f"{module}.{name}" in MODULES:
        return True
    if module not in MODULES:
        return False
    of = ast.parse(MODULES[module].read_text()).body
    named = {alias.asname or alias.name for node in of if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.name for node in of if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    targets = [t for node in of if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in of if isinstance(node, ast.AnnAssign)]
    return name in named | {target.id for target in targets if isinstance(target, ast.Name)}
