"""GTA5 to Cityscapes: case (c), distilled on source and target: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "case_c")
