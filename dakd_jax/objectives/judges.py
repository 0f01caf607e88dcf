"""How a discriminator's logits are judged: vanilla (binary cross entropy) or least squares."""

import jax
import jax.numpy as jnp

SOURCE, TARGET = 0.0, 1.0


def binary_cross_entropy(logits: jax.Array, domain: float) -> jax.Array:
    """Mean binary cross entropy of logits (any shape) against one domain label, in the stable form."""
    return jnp.mean(jax.nn.softplus(logits) - logits * domain)


def least_squares(logits: jax.Array, domain: float) -> jax.Array:
    """Mean squared distance of raw outputs (any shape) to one domain label (LSGAN)."""
    return jnp.mean(jnp.square(logits - domain))


JUDGES = {"vanilla": binary_cross_entropy, "least_squares": least_squares}
