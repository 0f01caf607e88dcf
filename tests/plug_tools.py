"""What tests of plugs share."""

import contextlib
import re
import sys

import tiny_runs


def example(section: str) -> str:
    """The worked example of a section of docs/EXTENDING.md, as the text of a file."""
    text = (tiny_runs.PROJECT / "docs" / "EXTENDING.md").read_text()
    (found,) = re.findall(r"```python\n(.*?)```", text.split(f"## {section}\n")[1].split("\n## ")[0], re.DOTALL)
    return found


@contextlib.contextmanager
def forgotten(*registries):
    """What is registered within is not registered after it: other tests walk over all that is."""
    before = [(dict(registry), dict(registry._origins)) for registry in registries]
    try:
        yield
    finally:
        for registry, (things, origins) in zip(registries, before, strict=True):
            registry._things, registry._origins = things, origins
        for module in [name for name in sys.modules if name.startswith("dakd_plugin_")]:
            del sys.modules[module]
