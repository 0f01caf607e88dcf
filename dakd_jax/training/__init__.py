"""The training of one stage: step, state, loop, checkpoints."""
