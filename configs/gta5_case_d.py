"""GTA5 to Cityscapes: case (d), distilled on target, started from (c).

Paper: no number known to us.
Cost: the teacher's 100k steps and 100k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/gta5_case_d.py --config.data.root=DIR
DIR holds cityscapes/ and gta5/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("case_d",)
    config.data.name = "gta5"
    return config
