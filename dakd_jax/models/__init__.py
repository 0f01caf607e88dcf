"""Networks as pure Flax Linen modules: DRN trunks, two-headed segmenters, discriminators."""
