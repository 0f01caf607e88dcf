"""Domain adaptive knowledge distillation for driving-scene segmentation, in JAX and Flax."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dakd_jax.deploy.network import ReadyNetwork

__version__ = "0.1.0"


def load(path: str | os.PathLike, *, trust: bool = False, **what) -> "ReadyNetwork":
    """A finished network, ready to be used: `load("runs/demo").predict("street.png")` (docs/deploy.md).

    Args:
      path: of a run (the last stage of its goal, with the weights that were chosen without a label of the target),
        RUN#STAGE, the folder of a stage, a file of weights, a file that dakd export wrote, or a folder of dakd pack.
      trust: whether a SavedModel that another machine exported may run: it is code.
      what: of a file without a record beside it: `arch`, `size`, the (width, height) of its training pictures, and
        where they are not the architecture's own `width`, `normaliser`, `main_tap`, `auxiliary_tap`, `output_stride`,
        `decoder`; `classes`, their names. Of any: `palette`, a colour (red, green, blue) for each class; `bit_depth`,
        how many bits the values of 16-bit pictures use; `plugins`, in place of those that the record names.

    Raises:
      ValueError: there is no such network, or it is not known what it is; in one line.
    """
    from dakd_jax.deploy import exported  # jax comes with it

    return exported.load(path, trust=trust, **what)
