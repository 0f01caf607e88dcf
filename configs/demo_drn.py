"""The paper's chain of seven on the procedural city: small DRNs from random weights, no download.

Paper: Kothandaraman et al., WACV-W 2021, at toy scale; its numbers do not apply here.
Cost: about 10 minutes on 2 CPU cores (11.5 measured on an Intel Xeon at 2.8 GHz), after the install.
Command: python run.py --config=configs/demo_drn.py
"""

from configs import base

CHAIN = ("source_only", "student", "teacher", "case_a", "case_b", "case_c", "case_d")


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.title = "Demo: from a game-like city to a European one"
    config.goal = CHAIN
    config.workdir = "runs/demo_drn"
    config.data.name = "toy"
    config.data.root = "data/toy_city"
    config.data.source_size = config.data.target_size = (128, 64)
    config.data.mirror = True
    config.data.loader = "numpy"  # the same batches, without the seconds that importing tensorflow takes
    config.student.width = 0.125
    config.teacher.width = 0.25
    config.discriminator.width = 0.25
    config.optim.learning_rate = 0.1
    config.train.steps = 350
    config.train.teacher_steps = 800
    config.train.log_every = 25
    config.train.eval_every = 70
    config.train.select_pictures = 40
    config.train.checkpoint_every = 1000
    config.eval.batch_size = 10
    return config
