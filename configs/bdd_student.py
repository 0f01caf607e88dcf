"""BDD100K to Cityscapes: the undistilled student, DRN-D-22, adapted: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("bdd", "student")
