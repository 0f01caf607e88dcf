"""The main tables: teacher, source-only and adapted student, cases (a) to (d), on both benchmarks.

Paper: 38.3 student (second-hand), 42.33 case (a), 44.15 case (d) (second-hand) on BDD100K to Cityscapes.
Cost: for each seed and benchmark a teacher of 100k steps and six students of 50k; on the toy city see docs/tables.md.
Command: python run.py --config=configs/main_tables.py --config.data.root=DIR --seeds=0,1,2 --jobs=4
DIR holds cityscapes/ with bdd100k/, gta5/ or both: a benchmark whose data is missing is left out and says so.
--config.data.name=toy: from both looks of the toy city; camvid: daylight to dusk. --rows="bdd,(d)" trains a part.
"""

from configs.table1 import table


def get_config(preset: str = ""):
    config = table("main", preset)
    config.goal = ("source_only", "student", "teacher", "case_a", "case_b", "case_c", "case_d")
    return config
