"""From a config to the typed settings of networks, losses and optimisers, with every value checked."""

import math

from dakd_jax.basics import plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import checkpoint_choice, predict
from dakd_jax.models.backbones.drn import ARCHITECTURES
from dakd_jax.models.discriminator import MIN_SIZE
from dakd_jax.models.precision import PRECISIONS
from dakd_jax.models.preprocessing import TRUNK_NORMALISERS
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import options, paradigms
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.objectives.optimizers import SegmenterOptimizer
from dakd_jax.objectives.terms import TERMS
from dakd_jax.training.stage_job import StageSettings
from dakd_jax.training.train_step import ActiveTerm, LossWeights, StepModels, StepOptions

AUXILIARY_LAYERS = (6, 7)
SELECTIONS = ("most_improved", "least_improved", "random")  # of config.figures: by what pictures are chosen
MOST_PICTURES = 8  # that one figure holds
SEEDS = 2**32  # jax takes a seed modulo that: greater ones would start from the weights of others
POSITIVE = {
    "train": ("steps", "teacher_steps", "log_every", "checkpoint_every", "keep_checkpoints", "select_pictures"),
    "optim": ("learning_rate", "power"),
    "eval": ("batch_size",),
}
NOT_NEGATIVE = {
    "train": ("eval_every", "keep_every", "max_skipped"),
    "optim": ("decay_steps", "momentum", "weight_decay"),
    "eval": ("pictures",),
    "loss": ("seg_auxiliary", "target"),
}


def _choose(field: str, value, choices) -> None:
    if value not in tuple(choices):  # a dict would want a hashable value
        known = ", ".join(str(c) for c in choices)
        raise UserError(f"config.{field}={value!r}: expected one of {known}")


def _positive(field: str, value, *, zero: bool = False) -> None:
    if not (0 <= value < math.inf and (zero or value)):
        raise UserError(f"config.{field}={value!r}: expected a number {'>= 0' if zero else '> 0'}")


def words(value) -> tuple[str, ...]:
    """Texts of a tuple field; the command line makes one text of a,b."""
    return tuple(word.strip() for part in value for word in str(part).split(",") if word.strip())


def check(config) -> None:
    """Loads the config's plugins, adds the fields that these bring, and checks all fields.

    Raises:
      UserError: the first field that cannot work.
    """
    plugs.load(config.get("plugins", ()))
    options.fill_defaults(config)
    if isinstance(config.goal, str) or not config.goal:
        raise UserError(f"config.goal={config.goal!r}: name at least one of {', '.join(paradigms.STAGES)}, as a tuple")
    for name in config.goal:
        _choose("goal", name, paradigms.STAGES)
    _check_networks(config)
    _check_numbers(config)
    options.check(config)
    _choose("train.on_nonfinite", config.train.on_nonfinite, ("stop", "skip"))
    _choose("train.precision", config.train.precision, PRECISIONS)
    _choose("train.select", config.train.select, checkpoint_choice.CHOICES)
    _choose("eval.metric", config.eval.metric, ("miou", "miou_present"))
    predict.protocol(config.eval.protocol)
    _check_figures(config.figures)
    cropped = tuple(config.data.crop) != (0, 0)
    for field in ("source_size", "target_size", *["crop"] * cropped):
        size = tuple(config.data[field])
        if len(size) != 2 or not all(isinstance(side, int) and side >= MIN_SIZE for side in size):
            raise UserError(
                f"config.data.{field}={size}: expected (width, height), each side at least {MIN_SIZE} pixels, "
                "or nothing is left after stride 8 and the discriminator's five halvings"
            )
    if config.loss.mse_on == "features" and _tap_channels(config.student) != _tap_channels(config.teacher):
        raise UserError(
            f"config.loss.mse_on='features' needs equal channel counts, but the student's layer has "
            f"{_tap_channels(config.student)} and the teacher's {_tap_channels(config.teacher)}; "
            "use 'log_probabilities' or equal widths"
        )


def _check_networks(config) -> None:
    for network in ("student", "teacher"):
        _choose(f"{network}.arch", config[network].arch, ARCHITECTURES)
        _choose(f"{network}.auxiliary_layer", config[network].auxiliary_layer, AUXILIARY_LAYERS)
        _choose(f"{network}.normaliser", config[network].normaliser, TRUNK_NORMALISERS)
        _positive(f"{network}.width", config[network].width)
    _choose("student.init_from", config.student.init_from, ("", "student"))
    _choose("teacher.statistics", config.teacher.statistics, ("running", "batch"))


def _check_figures(figures) -> None:
    for how in words(figures.select):
        _choose("figures.select", how, SELECTIONS)
    if not words(figures.select) and not words(figures.pictures):
        raise UserError(f"config.figures.select and pictures are empty: name a selection of {', '.join(SELECTIONS)}")
    if not 1 <= figures.count <= MOST_PICTURES:
        raise UserError(f"config.figures.count={figures.count!r}: expected 1 to {MOST_PICTURES} pictures in a figure")


def _check_numbers(config) -> None:
    if not 0 <= config.seed < SEEDS:
        raise UserError(f"config.seed={config.seed!r}: expected a number >= 0 and below 2**32")
    for group, fields in POSITIVE.items():
        for field in fields:
            _positive(f"{group}.{field}", config[group][field])
    for group, fields in NOT_NEGATIVE.items():
        for field in fields:
            _positive(f"{group}.{field}", config[group][field], zero=True)


def _tap_channels(network) -> int:
    """Channels under the auxiliary head."""
    return ARCHITECTURES[network.arch].tap_channels(network.width, network.auxiliary_layer)


def segmenter(network, num_classes: int) -> Segmenter:
    """The module of config.student or config.teacher."""
    return Segmenter(
        arch=network.arch,
        num_classes=num_classes,
        width=float(network.width),
        auxiliary_layer=network.auxiliary_layer,
        normaliser=network.normaliser,
    )


def stage_settings(config, stage: paradigms.Stage, num_classes: int) -> StageSettings:
    """Settings of one stage under a checked config."""
    loss, optim = config.loss, config.optim
    models = StepModels(
        segmenter=segmenter(config[stage.network], num_classes),
        teacher=segmenter(config.teacher, num_classes) if stage.distils else None,
    )
    methods = options.make_methods(config) if stage.adapt else ()
    terms = _active_terms(config, stage)
    step_options = StepOptions(
        terms=terms,
        methods=methods,
        sees_target=_sees_target(stage, methods, terms),
        teacher_statistics=config.teacher.statistics,
        skip_nonfinite=config.train.on_nonfinite == "skip",
        precision=config.train.get("precision", "float32"),  # a bundle of an earlier version has none
    )
    weights = LossWeights(
        terms=options.term_weights(config),
        methods=options.method_weights(config) if stage.adapt else {},
        seg_auxiliary=loss.seg_auxiliary,
        distil_source=float(stage.distil_source),
        distil_target=loss.target * stage.distil_target,
        watch_inactive=loss.watch_inactive,
    )
    width, height = config.data.source_size
    return StageSettings(
        models=models,
        options=step_options,
        weights=weights,
        optimizer=SegmenterOptimizer(optim.momentum, optim.nesterov, optim.weight_decay),
        steps=config.train.teacher_steps if stage.network == "teacher" else config.train.steps,
        size=(height, width),
    )


def _active_terms(config, stage: paradigms.Stage) -> tuple[ActiveTerm, ...]:
    """Terms that a stage has: a weight of 0 costs nothing, unless all distillation terms are watched."""
    wanted = {SOURCE} | ({TARGET} if stage.adapt else set()) | ({"distillation"} if stage.distils else set())
    return tuple(
        ActiveTerm(term, tuple(options.term_options(config, name).items()))
        for name, term in TERMS.items()
        if term.group in wanted
        and (options.value(config, f"loss.{name}") or (term.group == "distillation" and config.loss.watch_inactive))
    )


def _sees_target(stage: paradigms.Stage, methods, terms) -> bool:
    learnt_from = any(TARGET in method.PASSES for method in methods) or any(t.term.group == TARGET for t in terms)
    return stage.adapt and (stage.distil_target or learnt_from)
