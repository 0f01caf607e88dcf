"""What goes into a wheel, and where to; all else is in pyproject.toml.

In the repository configs/ and run.py stand at the top. Modules of such general names do not belong into everybody's
site-packages, so that they travel as dakd_jax/configs/ and dakd_jax/run.py; dakd_jax/basics/installation.py finds them
in either place.
"""

import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = find_packages(include=["dakd_jax*", "data_pipelines*"])


class BuildWithProgram(build_py):
    """Adds run.py to the package dakd_jax, and leaves nothing of an earlier build behind."""

    def run(self):
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # files that are gone from the repository
        super().run()

    def find_package_modules(self, package, package_dir):
        """Tuples (package, module, file) of one package."""
        program = [("dakd_jax", "run", "run.py")] * (package == "dakd_jax")
        return [*super().find_package_modules(package, package_dir), *program]


setup(
    packages=[*ROOMS, "dakd_jax.configs"],
    package_dir={"dakd_jax.configs": "configs"},
    cmdclass={"build_py": BuildWithProgram},
)
