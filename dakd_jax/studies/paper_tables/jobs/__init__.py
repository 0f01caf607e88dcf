"""The processes that train a table's stages: on this machine or through submitit."""
