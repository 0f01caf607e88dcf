"""The paper's benchmarks: BDD100K or GTA5 to Cityscapes, to any of its networks.

Paper: on BDD100K to Cityscapes 38.3 mIoU for the student (second-hand); case (a) 42.33, with 88.42 pixel accuracy
(supplement, Table 1 vii); case (d) 44.15 (second-hand). No other number is known to us.
Cost: on one GPU of 11 GB 100k steps for the teacher, which cases (a) to (d) need, and 50k for each student, 100k for
case (d), which starts from (c); less what is finished already.
Command: python run.py --config=configs/benchmark.py:bdd,case_d --config.data.root=DIR
DIR holds cityscapes/ and bdd100k/ or gta5/. The preset is a pair and a stage, and may add one of configs/base.py:
gta5,case_a,released_code. configs/bdd_case_d.py and its like are a pair and a stage under a name of their own.
"""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from configs import base
from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.paradigms import STAGES

PAIRS = ("bdd", "gta5")


def get_config(preset: str = "") -> ConfigDict:
    """`preset`: the words, with commas between them; where a kind is absent, 'bdd', 'case_d' and no preset of base."""
    words = [*dict.fromkeys(word.strip() for word in preset.split(",") if word.strip())]
    if unknown := set(words) - {*PAIRS, *STAGES, *base.PRESETS}:
        raise _wrong(preset, f"{min(unknown)!r} is unknown")
    pair, stage = _chosen(preset, words, PAIRS, "bdd"), _chosen(preset, words, tuple(STAGES), "case_d")
    return experiment(pair, stage)(_chosen(preset, words, tuple(base.PRESETS), ""))


def experiment(pair: str, stage: str) -> Callable[[str], ConfigDict]:
    """The get_config of one pair of domains (data.name) and one stage (goal)."""

    def get_config(preset: str = "") -> ConfigDict:
        config = base.get_config(preset)
        config.goal = (stage,)
        config.data.name = pair
        return config

    return get_config


def _chosen(preset: str, words: Sequence[str], known: Sequence[str], default: str) -> str:
    """The word of a preset that is one of `known`."""
    named = [word for word in words if word in known]
    if len(named) > 1:
        raise _wrong(preset, f"{' and '.join(named)} exclude each other")
    return named[0] if named else default


def _wrong(preset: str, problem: str) -> UserError:
    others = ", ".join(filter(None, base.PRESETS))
    return UserError(
        f"config preset {preset!r}: {problem}; expected PAIR,STAGE or PAIR,STAGE,{others}: "
        f"one of {', '.join(PAIRS)}, then one of {', '.join(STAGES)}"
    )
