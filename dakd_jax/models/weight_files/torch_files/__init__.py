"""PyTorch checkpoint files, read and written without PyTorch and without running anything they contain."""

from dakd_jax.models.weight_files.torch_files.reader import read, scan
from dakd_jax.models.weight_files.torch_files.writer import write

__all__ = ["read", "scan", "write"]
