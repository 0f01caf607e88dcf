"""BDD100K to Cityscapes: case (d), distilled on target, started from (c): see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "case_d")
