"""GTA5 to Cityscapes: case (a), distilled on source.

Paper: no number known to us.
Cost: the teacher's 100k steps and 50k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/gta5_case_a.py --config.data.root=DIR
DIR holds cityscapes/ and gta5/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("case_a",)
    config.data.name = "gta5"
    return config
