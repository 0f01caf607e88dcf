"""BDD100K to Cityscapes: the teacher, DRN-D-38, adapted.

Paper: no number known to us.
Cost: the teacher's 100k steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/bdd_teacher.py --config.data.root=DIR
DIR holds cityscapes/ and bdd100k/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("teacher",)
    config.data.name = "bdd"
    return config
