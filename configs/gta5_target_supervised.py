"""GTA5 to Cityscapes: the upper bound, the student trained on target labels.

Paper: no number known to us.
Cost: 50k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/gta5_target_supervised.py --config.data.root=DIR
DIR holds cityscapes/ and gta5/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("target_supervised",)
    config.data.name = "gta5"
    return config
