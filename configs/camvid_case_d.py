"""CamVid, day to dusk: the whole chain on real pictures, small enough for a workstation.

Paper: no number; a benchmark of this project. The number is `miou_present`: 10 classes occur in the labels.
Cost: see docs/RESULTS.md; about 10 minutes a seed on one large GPU, hours on a CPU.
Command: python run.py --config=configs/camvid_case_d.py --config.data.root=DIR
DIR holds bdd100k/, cityscapes/.
"""

from configs import base
from configs.demo_drn import CHAIN


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.title = "CamVid: from daylight to dusk"
    config.goal = CHAIN
    config.data.name = "camvid"
    config.data.source_size = config.data.target_size = (480, 360)
    config.data.mirror = True
    config.optim.learning_rate = 1e-2
    config.train.steps = 3_000
    config.train.teacher_steps = 6_000
    config.train.eval_every = 1_000
    config.eval.metric = "miou_present"
    return config
