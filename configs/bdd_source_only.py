"""BDD100K to Cityscapes: the student without adaptation: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "source_only")
