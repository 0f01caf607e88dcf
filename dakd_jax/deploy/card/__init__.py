"""What a network costs and is worth: parameters, operations, size, memory and latency, beside its mIoU.

`markdown_section` of dakd_jax.studies.kit.trade makes a section of a model card of what is written here.
"""
