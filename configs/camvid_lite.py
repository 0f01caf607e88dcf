"""CamVid, day to dusk, with networks from ImageNet: a teacher that leads, by the size of what it sees alone.

Paper: its premise, a teacher that is better than the student; no number of it. `miou_present`: 10 classes occur.
Cost: 15 to 20 minutes on 2 CPU cores.
Command: python run.py --config=configs/camvid_lite.py --config.data.root=DIR
DIR holds bdd100k/, cityscapes/.
"""

from configs import demo


def get_config(preset: str = ""):
    config = demo.get_config(preset)
    config.title = "CamVid: from daylight to dusk, networks from ImageNet"
    config.goal = ("source_only", "teacher", "case_b")
    config.workdir = ""
    config.data.name = "camvid"
    config.data.root = "data"
    config.data.source_size = config.data.target_size = (240, 180)
    config.data.teacher_size = (360, 270)
    config.teacher.views.scales = (1.0, 1.3333)  # 480x360, the pictures' own size
    config.adaptation.methods = ()  # self-training costs a point or two here
    config.train.steps = config.train.teacher_steps = 300
    config.eval.metric = "miou_present"
    return config
