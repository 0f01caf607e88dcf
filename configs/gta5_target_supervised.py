"""GTA5 to Cityscapes: the upper bound, the student trained on target labels: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "target_supervised")
