"""A trunk of one's own: a network trained on the labelled source alone, for others to start from.

Paper: its networks start from ImageNet's weights, which DRN users without the files do not have.
Cost: about 15 minutes for DRN-D-22 x0.25 on 2 CPU cores; in general that of the steps of a source-only student.
Command: python run.py --config=configs/pretrain.py --config.student.arch=drn_d_22 --config.student.width=1
Then:    python run.py --config=configs/camvid_case_d.py --config.student.pretrained=runs/pretrain#source_only

The default is the toy city, which needs no files; --config.data.name=gta5 --config.data.root=DIR, or any pair,
takes the source of that. --config.student.arch and width are those of the network that is to start from it, student
or teacher; give each a --workdir of its own.
"""

from configs import base


def get_config(preset: str = ""):
    config = base.get_config(preset)
    config.title = "A trunk of one's own"
    config.goal = ("source_only",)
    config.workdir = "runs/pretrain"
    config.data.name = "toy"
    config.data.root = "data/toy_city_of_500"
    config.data.source_size = config.data.target_size = (256, 128)
    config.data.toy.num_train = 500
    config.data.mirror = True
    config.data.scale = (0.75, 1.5)
    config.data.colour_jitter = (0.3, 0.3, 0.3, 0.05)
    config.data.loader = "numpy"
    config.student.width = 0.25
    config.optim.learning_rate = 0.05
    config.optim.warmup_steps = 50
    config.train.steps = 2_000
    config.train.log_every = 50
    config.train.eval_every = 500
    config.eval.batch_size = 10
    return config
