"""GTA5 to Cityscapes: the student without adaptation.

Paper: no number known to us.
Cost: 50k student steps on one GPU of 11 GB, less what is finished already.
Command: python run.py --config=configs/gta5_source_only.py --config.data.root=DIR
DIR holds cityscapes/ and gta5/.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.goal = ("source_only",)
    config.data.name = "gta5"
    return config
