"""Installs on Google Colab what the notebooks run with: python notebooks/install.py [PACKAGE ...]

PACKAGE is one of requirements-deploy.txt that is wanted as well.

Assumed there: Python 3.11 or later; numpy, scipy, Pillow and matplotlib that jax and flax are content with. These four
stay as they are, because the notebook's kernel holds them already. Everything else is pinned as in requirements.txt;
with a GPU jax comes with its CUDA plugin (requirements-cuda.txt), in place of Colab's. TensorFlow is not needed.
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection

PROJECT = pathlib.Path(__file__).resolve().parents[1]
COLABS_OWN = ("numpy", "scipy", "pillow", "matplotlib")
NOT_NEEDED = ("tensorflow-cpu", "tensorflow-datasets", "array_record", "importlib_resources", "tensorboard")


def requirements(gpu: bool, also: Collection[str] = ()) -> list[str]:
    """What pip is asked for: pinned requirements, those of Colab's own packages without their versions.

    Args:
      also: packages of requirements-deploy.txt.
    """
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    if gpu:
        lines += (PROJECT / "requirements-cuda.txt").read_text().splitlines()
    exports = (PROJECT / "requirements-deploy.txt").read_text().splitlines()
    lines += [line for line in exports if line.split("==")[0] in also]
    named = {re.split(r"[=\[]", line)[0]: line for line in lines if line and not line.startswith("#")}
    return [name if name in COLABS_OWN else line for name, line in named.items() if name not in NOT_NEEDED]


def main() -> None:
    """Installs, and says what."""
    command = ["pip", "install", "--quiet", *requirements(bool(shutil.which("nvidia-smi")), sys.argv[1:])]
    print("$", shlex.join(command), flush=True)
    subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main()
