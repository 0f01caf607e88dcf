"""The command `dakd` of an installed package, and `python -m dakd_jax MODE ...`; what it does stands in run.py."""

import sys

from dakd_jax.basics import installation
from dakd_jax.commands.kit import lasting_output


def main() -> int:
    """The exit code of the command line that this process was given."""
    lasting_output.install()
    return installation.load_program().dakd(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
