"""GTA5 to Cityscapes: case (d), distilled on target, started from (c): see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "case_d")
