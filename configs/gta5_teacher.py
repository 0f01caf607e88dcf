"""GTA5 to Cityscapes: the teacher, DRN-D-38, adapted: see configs/benchmark.py."""

from configs.benchmark import experiment

get_config = experiment("gta5", "teacher")
