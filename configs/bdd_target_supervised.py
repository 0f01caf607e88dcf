"""BDD100K to Cityscapes: the upper bound, the student trained on target labels: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "target_supervised")
