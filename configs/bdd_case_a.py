"""BDD100K to Cityscapes: case (a), distilled on source: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "case_a")
