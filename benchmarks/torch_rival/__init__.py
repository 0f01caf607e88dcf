"""Our training steps once more in PyTorch, written as its best users would, to be measured beside ours.

channels_last, float32 or bfloat16 by autocast, eager or compiled, fused optimisers, and no value of a step is fetched.
They start from our weights under PyTorch's names and do the same work: the losses of steps say so. What ours does
besides, and a rival does not: it watches the norms of gradients and parameters, and whether all of it is finite.
"""
