"""Supervised cross entropy on the labelled domain."""

import jax
import jax.numpy as jnp

IGNORE_LABEL = 255


def pick(log_probs: jax.Array, labels: jax.Array) -> jax.Array:
    """log_probs [..., C] at integer labels [...]; 0 where a label is outside 0..C-1.

    A masked sum instead of a gather: its gradient is a select, where a gather's is a slow scatter.
    """
    classes = jnp.arange(log_probs.shape[-1], dtype=jnp.int32)
    chosen = labels[..., None].astype(jnp.int32) == classes
    return jnp.sum(jnp.where(chosen, log_probs, 0), axis=-1)


def labelled(labels: jax.Array, ignore_label: int = IGNORE_LABEL) -> jax.Array:
    """How many pixels have a label that is not `ignore_label`."""
    return jnp.sum(labels != ignore_label)


def cross_entropy(log_probs: jax.Array, labels: jax.Array, *, ignore_label: int = IGNORE_LABEL) -> jax.Array:
    """Mean of -log p(label) over the pixels whose label is not `ignore_label`; 0 when there are none.

    Args:
      log_probs: [B, H, W, C] log-probabilities.
      labels: [B, H, W] integers, each a class 0..C-1 or `ignore_label`. Nothing here checks it: any other value would
        count as a pixel of loss 0 in the mean. data_pipelines refuses such labels where it reads them
        (label_spaces.LabelEncoding, prepared_records.RecordSet.load); whoever feeds other batches must see to it.
    """
    valid = labels != ignore_label
    total = -jnp.sum(jnp.where(valid, pick(log_probs, labels), 0))
    return total / jnp.maximum(labelled(labels, ignore_label), 1).astype(log_probs.dtype)
