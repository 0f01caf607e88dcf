"""BDD100K to Cityscapes: case (a), distilled on source.

Paper: 42.33 mIoU, 88.42 pixel accuracy (supplement, Table 1 vii).
Cost: the teacher's 100k steps and 50k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/bdd_case_a.py --config.data.root=DIR
DIR holds cityscapes/ and bdd100k/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("case_a",)
    config.data.name = "bdd"
    return config
