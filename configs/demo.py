"""From a game-like city to a European one, in ten minutes on two CPU cores: the embedded default, no download.

Paper: its paradigm (b) in the small, with networks from ImageNet and self-training; its numbers do not apply here.
Cost: 8 minutes on 2 CPU cores, after the install.
Command: python run.py --config=configs/demo.py
"""

from configs import base

CHAIN = ("source_only", "student", "teacher", "case_b")
SIZE = (256, 128)


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.title = "Demo: from a game-like city to a European one"
    config.goal = CHAIN
    config.workdir = "runs/demo"
    config.data.name = "toy"
    config.data.root = "data/toy_city"
    config.data.source_size = config.data.target_size = SIZE
    config.data.mirror = True
    config.data.colour_jitter = (0.5, 0.5, 0.5, 0.1)
    config.data.blur = (0.0, 1.2)
    config.data.loader = "numpy"  # the same batches, without the seconds that importing tensorflow takes
    for network in (config.student, config.teacher):
        network.arch, network.pretrained, network.auxiliary_tap = "efficientnet_lite0", "imagenet", ""
        network.batch_norm = "frozen"  # two pictures say little of mean and variance
    # The same network, and three times the work: what it says of a picture at two scales is 3 points better.
    config.teacher.views.scales = (1.0, 1.5)
    config.adaptation.methods = ("self_training",)
    config.adaptation.self_training.statistics = "running"
    config.loss.kl, config.loss.kl_reduction, config.loss.ce = 1.0, "pixel_mean", 0.0
    config.optim.learning_rate = 1e-3
    config.optim.head_learning_rate_factor = 10.0
    config.optim.warmup_steps = 50
    config.optim.clip_norm = 10.0  # at twice this learning rate a run without it diverged
    config.train.steps = config.train.teacher_steps = 200
    config.train.log_every = 25
    config.train.eval_every = 100
    config.train.select_pictures = 40
    config.train.checkpoint_every = 1000
    config.eval.batch_size = 10
    return config
