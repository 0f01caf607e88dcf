"""Files of weights of every kind that is read, and which part of one is the network wanted (docs/weights.md)."""

from dakd_jax.models.weight_files.opening import Place, place, scan
from dakd_jax.models.weight_files.safetensors_files import write as write_safetensors

__all__ = ["Place", "place", "scan", "write_safetensors"]
