"""config.train.deterministic: the same bits from run to run on a GPU.

XLA reads XLA_FLAGS once, when jax first looks for a device, so this comes before that; this file imports no jax.
"""

import os
from collections.abc import MutableMapping

from dakd_jax.basics.errors import UserError

# In XLA's words it guarantees run-to-run determinism: kernels whose sums depend on the order of threads are left out
# (it implies --xla_gpu_exclude_nondeterministic_ops), and none is chosen by how fast it was measured (it turns
# autotuning off). The step has no scatter, gather or select-and-scatter, for which that would be slow or refused.
FLAG, WANTED = "--xla_gpu_deterministic_ops", "true"


def set_up(deterministic: bool, environment: MutableMapping[str, str] = os.environ) -> None:
    """Adds what a GPU needs to XLA_FLAGS of this process and its children. A CPU is deterministic without.

    Raises:
      UserError: XLA_FLAGS says the opposite already.
    """
    if not deterministic:
        return
    given = environment.get("XLA_FLAGS", "").split()
    ours = [text for text in given if text.partition("=")[0] == FLAG]
    for text in ours:
        if text.partition("=")[2].lower() not in ("", "1", WANTED):
            raise UserError(f"config.train.deterministic=True, but XLA_FLAGS has {text}; take it out of XLA_FLAGS")
    if not ours:
        environment["XLA_FLAGS"] = " ".join([*given, f"{FLAG}={WANTED}"])
