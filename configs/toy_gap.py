"""How far apart the toy city's two looks are: the demo's student, source-only against supervised on target.

Paper: no number; it shows that the embedded default has something to teach.
Cost: about 2 minutes on 2 CPU cores; reuses the demo's source-only student.
Command: python run.py --config=configs/toy_gap.py
"""

from configs import demo


def get_config(preset: str = ""):
    config = demo.get_config(preset)
    config.title = "Toy city: the gap between the looks"
    config.goal = ("source_only", "target_supervised")
    return config
