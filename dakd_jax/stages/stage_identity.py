"""What makes two stages the same: every field of the config but those that cannot reach the stage's numbers.

A field that is not named in EXEMPT counts. One that is added to configs/base.py later goes into ADDED_LATER with the
value under which everything is as before, so that finished stages are reused; one that is renamed, into
older_configs.RENAMED: it counts under its name and value of then. tests/stages/stage_identity_test.py walks all.
"""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from dakd_jax.basics import records
from dakd_jax.objectives import options, paradigms
from dakd_jax.objectives.adaptation import METHODS
from dakd_jax.objectives.terms import TERMS
from dakd_jax.stages import older_configs, weights
from dakd_jax.training.teaching import answer_folder

# Raise it when the code changes the numbers of an unchanged config: finished stages are then trained anew.
NUMERICS_VERSION = 1

# {field: value under which the numbers are those of before the field was there}; at that value it does not count.
ADDED_LATER: dict[str, object] = {
    "loss.segmentation": 1.0,
    options.CHOSEN: ("adversarial",),
    options.IN_CASES: options.SAME,
    "optim.optimizer": "sgd",
    "optim.clip_norm": 0.0,
    "optim.head_learning_rate_factor": 1.0,
    "optim.warmup_steps": 0,
    "train.batch_statistics": "synchronised",
    "data.teacher_size": (0, 0),
    "student.batch_norm": "trained",
    "teacher.batch_norm": "trained",
    "teacher.views.clean": False,
    "teacher.views.mirror": False,
    "teacher.views.scales": (1.0,),
    "teacher.cache_dtype": "float32",
}

Stage = paradigms.Stage


class Exempt(NamedTuple):
    """Fields that cannot reach the numbers of some kind of stage.

    Attributes:
      fields: names, or groups of them as 'eval.*'.
      why: for people.
      of: (config, stage) to whether it holds for that stage.
    """

    fields: tuple[str, ...]
    why: str
    of: Callable[[object, Stage], bool] = lambda config, stage: True


def _distils(config: ConfigDict, stage: Stage) -> bool:
    """Whether any term of distillation has a weight other than 0."""
    return stage.distil_source or (stage.distil_target and config.loss.target != 0)


def _own_size(config: ConfigDict, stage: Stage) -> bool:
    """Whether a teacher sees pictures at its size, and no window or blur of them is measured at the student's."""
    data = config.data
    scaled = any(data.crop) or any(data.blur)
    return stage.network == "teacher" and any(data.get("teacher_size", ())) and not scaled


def _handed_in(config: ConfigDict, stage: Stage) -> bool:
    """Whether answers of another program take the place of a stage's teacher."""
    return stage.network != "teacher" and answer_folder.is_one(config.get("replace", {}).get("teacher", ""))


def _own_methods(config: ConfigDict) -> bool:
    """Whether stages that are distilled adapt by other methods than the others."""
    return options.chosen(config, distils=True) != options.chosen(config, distils=False)


_FILES = (
    "source", "target", "root", "dirs.*", "cityscapes_dir", "gta5_dir", "bdd100k_dir", "target_dir", "target_recursive",
    "source_list", "records_dir", "toy.*",
)  # fmt: skip

EXEMPT = (
    Exempt(("title", "workdir", "goal"), "say what is wanted and where it goes"),
    Exempt(("plugins",), "the source of those that a stage uses counts as `plugins`"),
    Exempt(("table", "cluster.*"), "say which stages run where"),
    Exempt(
        ("eval.*", "figures.*"), "for what reads finished networks; eval.batch_size is a part of `selection` as well"
    ),
    Exempt(("replace.*",), "the weights that are put in count as parents, by their content"),
    Exempt(("student.init_from",), "the stage that is started from counts, as `start` and as a parent"),
    Exempt(("train.steps", "train.teacher_steps"), "the one that holds for the network counts as `steps`"),
    Exempt(
        ("train.select", "train.select_pictures", "train.eval_every"), "count as `selection` where there is a choice"
    ),
    Exempt(("train.log_every", "train.checkpoint_every"), "intervals of logging and saving"),
    Exempt(("train.keep_checkpoints", "train.keep_every"), "what is kept besides the candidate that counts"),
    Exempt(
        ("train.max_skipped", "data.max_unreadable"), "limits that end a run and change nothing in one that ends well"
    ),
    Exempt(
        ("train.devices",), "the same numbers up to rounding; the parts of a batch that have their own statistics count"
    ),
    Exempt(("train.memory_budget_gb",), "what is saved of memory changes the numbers by rounding alone"),
    Exempt(("loss.watch_inactive",), "computes values that are only logged"),
    Exempt(tuple(f"data.{name}" for name in _FILES), "count by the content of the files behind them"),
    Exempt(("data.bit_depth",), "the fingerprint of the files says where one is read by it"),
    Exempt(("data.loader", "data.num_parallel_calls"), "every loader gives the same bits"),
    Exempt(("data.prefetch", "data.cache_mb"), "every loader gives the same bits"),
    Exempt(("student.pretrained", "teacher.pretrained"), "count by content, as `trunk` or as a parent"),
    Exempt(("data.source_size",), "nothing is learnt from the source", lambda c, s: s.labelled != "source"),
    Exempt(
        ("data.target_size",), "nothing is learnt from the target", lambda c, s: s.labelled == "source" and not s.adapt
    ),
    Exempt(("data.class_mix",), "only for pictures that are distilled on", lambda c, s: not s.distil_target),
    Exempt(("student.*",), "the teacher is another network", lambda c, s: s.network == "teacher"),
    Exempt(("teacher.*",), "no teacher is asked", lambda c, s: s.network != "teacher" and not s.distils),
    Exempt(("teacher.*", "data.teacher_size"), "its answers were handed in", lambda c, s: _handed_in(c, s)),
    Exempt(("teacher.batch_norm",), "how the teacher was trained", lambda c, s: s.network != "teacher"),
    Exempt(("teacher.cache_gb",), "kept, asked for or computed inside the step: answers differ by rounding alone"),
    Exempt(("teacher.cache_dtype",), "no answer is kept", lambda c, s: not (s.distils and c.teacher.get("cache_gb"))),
    Exempt(("teacher.statistics",), "how a frozen teacher is asked", lambda c, s: not s.distils),
    Exempt(("teacher.views.*",), "how a frozen teacher is asked", lambda c, s: not _distils(c, s)),
    Exempt(("data.source_size", "data.target_size"), "the teacher's own size counts", lambda c, s: _own_size(c, s)),
    Exempt(("data.teacher_size",), "no teacher is asked", lambda c, s: s.network != "teacher" and not _distils(c, s)),
    Exempt((options.CHOSEN, options.IN_CASES), "nothing is adapted", lambda c, s: not s.adapt),
    Exempt((options.IN_CASES,), "nothing is distilled", lambda c, s: not s.distils),
    Exempt((options.IN_CASES,), "says the methods that there are anyway", lambda c, s: not _own_methods(c)),
    Exempt((options.CHOSEN,), "distilled stages have methods of their own", lambda c, s: s.distils and _own_methods(c)),
    Exempt(("loss.target",), "nothing is distilled on the target", lambda c, s: not s.distil_target),
)

# Fields of losses that are no term's.
_LOSS = ("loss.seg_auxiliary", "loss.target", "loss.watch_inactive")
# Factors of which 0 is as what is not there; loss terms and methods say theirs themselves.
_WEIGHTS = ("loss.target", "loss.seg_auxiliary", "data.class_mix")


def exempt(field: str, config: ConfigDict, stage: Stage) -> str:
    """Why a field of a config cannot reach the numbers of a stage; '' where it can.

    Args:
      field: by its path, as 'loss.kl'.
    """
    for rule in EXEMPT:
        named = any(field == name or (name.endswith(".*") and field.startswith(name[:-1])) for name in rule.fields)
        if named and rule.of(config, stage):
            return rule.why
    if field in _WEIGHTS and options.value(config, field) == 0:
        return "a term of weight 0"
    if field.split(".")[0] in ("loss", "adaptation") and field not in (*_LOSS, *options.fields()):
        return "no loss term or method that is known here has it: a plugin that this config does not name left it"
    return _exempt_of_term(field, config, stage) or _exempt_of_method(field, config, stage)


def _exempt_of_term(field: str, config: ConfigDict, stage: Stage) -> str:
    """As exempt(), of a field that a loss term brings."""
    for name, term in TERMS.items():
        if field not in term.fields():
            continue
        if term.group == "distillation" and not _distils(config, stage):
            return "nothing is distilled"
        if term.group == "target" and not stage.adapt:
            return "nothing is learnt from the target"
        without = options.value(config, f"loss.{name}") == 0
        return "its term has no weight" if without and field not in ADDED_LATER else ""
    return ""


def _exempt_of_method(field: str, config: ConfigDict, stage: Stage) -> str:
    """As exempt(), of a field that an adaptation method brings."""
    for name, method in METHODS.items():
        fields = method.fields()
        if field not in fields:
            continue
        if not stage.adapt:
            return "nothing is adapted"
        if name not in options.chosen(config, distils=stage.distils):
            return "its method is not used"
        return "a term of weight 0" if fields[field].weight and options.value(config, field) == 0 else ""
    return ""


def plugins(config: ConfigDict, stage: Stage) -> dict[str, str]:
    """{what: sha256 of its source} of what a stage uses and a plugin brought (docs/EXTENDING.md)."""
    used = [(TERMS, name) for name, term in TERMS.items() if not _exempt_of_term(f"loss.{name}", config, stage)]
    used += [(METHODS, name) for name in options.chosen(config, distils=stage.distils) if stage.adapt]
    found = {f"{registry.kind} {name}": registry.source_hash(name) for registry, name in used}
    groups = older_configs.modernise(records.plain(config))
    for network in (stage.network, *["teacher"] * (stage.distils and not _handed_in(config, stage))):
        found |= weights.plugins(groups[network])
    return {name: digest for name, digest in found.items() if digest}


def counted(config: ConfigDict, stage: Stage) -> dict:
    """{field, by its path: value as plain data} of all fields that count for a stage; `config` may be of any age."""
    later, found = records.plain(ADDED_LATER), older_configs.modernise(records.plain(config))
    for group in ("student", "teacher"):
        others = {name: value for name, value in found[group].items() if name not in weights.NETWORK_FIELDS}
        found[group] = others | weights.counted_fields(group, found[group])
    return {
        name: value
        for name, value in records.flatten(found).items()
        if not exempt(name, config, stage) and not (name in later and later[name] == value)
    }


def identity(
    config: ConfigDict, stage: Stage, data_fingerprint: str, parents: dict[str, str], selection: dict | None = None
) -> dict:
    """The identity of a stage as plain data.

    Args:
      config: see configs/base.py; fields that are not there count as well.
      data_fingerprint: of the files that the stage learns from.
      parents: {stage name: hash} of what it needs.
      selection: by what its weights are chosen among several, see selection.rule; None where the last ones count.
    """
    network = config[stage.network]
    found = {
        "numerics": NUMERICS_VERSION,
        "fields": counted(config, stage),
        "labelled": stage.labelled,
        "adapt": stage.adapt,
        "distil": [stage.distil_source, stage.distil_target],
        "start": stage.start,
        "trunk": weights.hash_file(weights.trunk_file(network)) if network.pretrained and not stage.start else "",
        "data": data_fingerprint,
        "steps": config.train.teacher_steps if stage.network == "teacher" else config.train.steps,
        "parents": parents,
    }
    more = {"selection": selection, "plugins": plugins(config, stage)}
    return records.plain(found | {name: value for name, value in more.items() if value})
