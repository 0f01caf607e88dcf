"""Config fields of what is registered: loss terms and adaptation methods, a plugin's too."""

from ml_collections import ConfigDict


def fill_defaults(config: ConfigDict) -> None:
    """Adds the fields of loss terms and adaptation methods that a config lacks, with their defaults.

    To be called once config.plugins are loaded. Imports no jax. (None yet: all fields stand in configs/base.py.)
    """
