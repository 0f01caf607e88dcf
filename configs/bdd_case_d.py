"""BDD100K to Cityscapes: case (d), distilled on target, started from (c).

Paper: 44.15 mIoU (second-hand).
Cost: the teacher's 100k steps and 100k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/bdd_case_d.py --config.data.root=DIR
DIR holds cityscapes/ and bdd100k/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("case_d",)
    config.data.name = "bdd"
    return config
