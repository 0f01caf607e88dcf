"""BDD100K to Cityscapes: case (c), distilled on source and target: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "case_c")
