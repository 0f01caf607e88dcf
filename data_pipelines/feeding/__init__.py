"""From splits to batches: streams, loaders, the feed of a run."""
