"""Mean squared error between student and teacher, at the auxiliary level (paper section 3.2)."""

import jax
import jax.numpy as jnp

from dakd_jax.objectives.context import LossContext, Option, Part
from dakd_jax.objectives.terms import LossTerm, register

ON = ("log_probabilities", "features")


def mean_squared_error(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Mean over all entries of the squared difference."""
    return jnp.mean(jnp.square(student - teacher))


def mse(c: LossContext) -> dict[str, Part]:
    """Of the auxiliary head's log-probabilities, or of the features under it."""
    if c.options["on"] == "features":
        pair = c.student.features[c.student.tap], c.teacher.features[c.teacher.tap]
    else:
        pair = c.student.log_probs["auxiliary"], c.teacher.log_probs["auxiliary"]
    return {"mse_auxiliary": Part(mean_squared_error(*pair), count=pair[0].size)}


on = Option("log_probabilities", "what is compared: 'log_probabilities' of the auxiliary head, or its 'features'", ON)
register(
    LossTerm(
        "mse", "distillation", mse, 0.01, "MSE", ("mse_auxiliary",), options={"on": on},
        by_rows=lambda options: options["on"] == "log_probabilities",
    )
)  # fmt: skip
