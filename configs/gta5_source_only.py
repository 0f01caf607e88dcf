"""GTA5 to Cityscapes: the student without adaptation: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "source_only")
