"""What a run leaves beside its results, so that its numbers can be had again: JSON files, hashes, versions."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterable

import jax
import numpy as np
from ml_collections import ConfigDict

from dakd_jax.basics import atomic_files, installation

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow", "tensorflow-cpu", "tensorflow")


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes a JSON file, whole or not at all."""
    atomic_files.write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: pathlib.Path) -> dict | None:
    """Content of a JSON file, None where there is no whole one."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):  # no JSON, or no text at all; brackets without end
        return None
    return content if isinstance(content, dict) else None


def plain(config: ConfigDict | dict) -> dict:
    """A config as JSON-safe dicts, tuples as lists."""
    return json.loads(json.dumps(config.to_dict() if isinstance(config, ConfigDict) else config))


def flatten(content: dict, prefix: str = "") -> dict:
    """Nested dicts as one, with keys joined by dots."""
    flat: dict = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def hash_json(content: dict) -> str:
    """sha256 in hex of a JSON-safe dict, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def hash_arrays(named: dict[str, np.ndarray]) -> str:
    """sha256 in hex of named arrays: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.ascontiguousarray(named[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _git(*arguments: str) -> str:
    if installation.IS_WHEEL:  # a repository around it, as that of a project with its .venv, is another one
        return ""
    folder = installation.ROOT
    try:
        done = subprocess.run(("git", *arguments), cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def hardware() -> dict:
    """What this process computes on."""
    device = jax.devices()[0]
    return {"platform": device.platform, "device": device.device_kind, "cores": os.cpu_count()}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def environment() -> dict:
    """Versions, hardware, git commit and command of this process."""
    return {
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "versions": versions(PACKAGES),
        "hardware": hardware(),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
    }
