"""GTA5 to Cityscapes: case (a), distilled on source: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "case_a")
