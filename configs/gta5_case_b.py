"""GTA5 to Cityscapes: case (b), distilled on target: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "case_b")
