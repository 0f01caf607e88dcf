"""The supplement's Table 1: case (a) under 19 weightings of its losses, sections i to vii.

Paper: 38.71 to 42.33 mIoU on BDD100K to Cityscapes (supplement, Table 1); the undistilled student 38.3 (second-hand).
Cost: for each seed a teacher of 100k steps and 20 students of 50k; on the toy city see docs/tables.md.
Command: python run.py --config=configs/table1.py --config.data.root=DIR --seeds=0,1,2 --jobs=4
DIR holds cityscapes/ and bdd100k/. --config.data.name=toy or camvid: the same at small scale. --rows="KL 0.4,vi" trains
a part. docs/tables.md has all of it, Slurm as well.
"""

from ml_collections import ConfigDict

from configs import base, camvid_case_d, demo_drn

# Sizes, widths and steps of a table on another benchmark: those of its own config.
SCALES = {"toy": demo_drn, "camvid": camvid_case_d}
NO_SCALE = ("title", "goal", "workdir")


def get_config(preset: str = ""):
    config = table("ablation", preset)
    config.data.toy.source = "bdd100k"  # the table is of real to real: from the American look
    return config


def table(name: str, preset: str) -> ConfigDict:
    """Settings of the table called `name` in dakd_jax/studies/paper_tables/rows.py."""
    config = base.get_config(preset)
    config.goal = ("case_a",)
    # What differs from here where data.name names such a benchmark; fields of the command line stay as they were given.
    config.scales = ConfigDict({key: _differences(one.get_config(preset), config) for key, one in SCALES.items()})
    config.table = name
    config.cluster = ConfigDict({
        "engine": "local",  # processes on this machine; 'submitit' hands the jobs to Slurm (requirements-cluster.txt)
        "executor": "auto",  # of submitit: 'slurm', 'local' (its own processes here), 'auto' = Slurm where there is one
        "gpus": 1,  # of each job, and so on
        "cpus": 8,
        "memory_gb": 64,
        "minutes": 24 * 60,  # a job that needs longer is queued again and goes on
        "partition": "",
        "options": "",  # more of sbatch's own, as 'account=me,constraint=a100'
    })  # fmt: skip
    return config


def _differences(config: ConfigDict, other: ConfigDict) -> dict:
    """The fields of `config` with another value than in `other`, nested."""
    found = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            if inner := _differences(value, other[name]):
                found[name] = inner
        elif name not in NO_SCALE and value != other[name]:
            found[name] = value
    return found
