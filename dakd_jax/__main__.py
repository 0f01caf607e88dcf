"""python -m dakd_jax MODE ...: as the command dakd."""

import sys

from dakd_jax.entry import main

if __name__ == "__main__":
    sys.exit(main())
