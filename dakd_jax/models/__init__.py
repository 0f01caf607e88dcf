"""Networks as pure Flax Linen modules: backbones, two-headed segmenters, discriminators, files of weights."""
