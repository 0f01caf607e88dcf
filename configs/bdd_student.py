"""BDD100K to Cityscapes: the undistilled student, DRN-D-22, adapted.

Paper: 38.3 mIoU (second-hand).
Cost: 50k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/bdd_student.py --config.data.root=DIR
DIR holds cityscapes/ and bdd100k/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("student",)
    config.data.name = "bdd"
    return config
