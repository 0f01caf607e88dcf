"""BDD100K to Cityscapes: case (b), distilled on target: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "case_b")
