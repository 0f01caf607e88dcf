"""From a config to the typed settings of networks, losses and optimisers, with every value checked."""

import math
from collections.abc import Mapping

from ml_collections import ConfigDict

from dakd_jax.basics import plugs
from dakd_jax.basics.errors import UserError
from dakd_jax.evaluation import checkpoint_choice, predict
from dakd_jax.evaluation.checkpoint_choice import ChoiceSettings
from dakd_jax.evaluation.evaluation_store import EvaluationSettings
from dakd_jax.models import preprocessing
from dakd_jax.models.backbones import BACKBONES, DECODERS, SKIP, Backbone, Outline, outlines
from dakd_jax.models.discriminator import MIN_SIZE
from dakd_jax.models.precision import PRECISIONS
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers, options, paradigms
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.objectives.optimizers import SegmenterOptimizer
from dakd_jax.objectives.terms import TERMS
from dakd_jax.stages import older_configs, weights
from dakd_jax.training.runtime import sharding
from dakd_jax.training.stage_job import LoopSettings, StageSettings
from dakd_jax.training.step.options import ActiveTerm, LossWeights, StepModels, StepOptions
from dakd_jax.training.teaching import Views

NETWORKS = ("student", "teacher")  # groups of the config
SELECTIONS = ("most_improved", "least_improved", "random")  # of config.figures: by what pictures are chosen
MOST_PICTURES = 8  # that one figure holds
DEVICE, SYNCHRONISED = "device", "synchronised"  # of train.batch_statistics
SEEDS = 2**32  # jax takes a seed modulo that: greater ones would start from the weights of others
POSITIVE = {
    "train": ("steps", "teacher_steps", "log_every", "checkpoint_every", "keep_checkpoints", "select_pictures"),
    "optim": ("learning_rate", "power", "head_learning_rate_factor"),
    "eval": ("batch_size",),
}
NOT_NEGATIVE = {
    "train": ("eval_every", "keep_every", "max_skipped", "devices", "memory_budget_gb"),
    "optim": ("decay_steps", "warmup_steps", "momentum", "weight_decay", "clip_norm"),
    "eval": ("pictures",),
    "loss": ("seg_auxiliary", "target"),
    "teacher": ("cache_gb",),
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


def check(config: ConfigDict) -> None:
    """Loads the config's plugins, adds the fields that these bring, and checks all fields.

    An older config becomes one of today, in place.

    Raises:
      UserError: the first field that cannot work.
    """
    older_configs.modernise(config)
    plugs.load(words(config.get("plugins", ())))
    options.fill_defaults(config)
    if isinstance(config.goal, str) or not config.goal:
        raise UserError(f"config.goal={config.goal!r}: name at least one of {', '.join(paradigms.STAGES)}, as a tuple")
    for name in config.goal:
        _choose("goal", name, paradigms.STAGES)
    _check_networks(config)
    _check_numbers(config)
    options.check(config)
    _choose("optim.optimizer", config.optim.optimizer, optimizers.KINDS)
    _choose("train.on_nonfinite", config.train.on_nonfinite, ("stop", "skip"))
    _choose("train.precision", config.train.precision, PRECISIONS)
    _choose("train.select", config.train.select, checkpoint_choice.CHOICES)
    _choose("eval.metric", config.eval.metric, ("miou", "miou_present"))
    predict.protocol(config.eval.protocol)
    _check_figures(config.figures)
    _check_sizes(config)
    _settle_statistics(config)


def _settle_statistics(config: ConfigDict) -> None:
    """train.batch_statistics, 'device' or a number of parts, becomes what it is here: a number, or 'synchronised'."""
    train, batch = config.train, config.data.batch_size
    said, parts = train.batch_statistics, 1
    if said == DEVICE:
        parts = len(sharding.choose(batch, train.devices).devices)
    elif said != SYNCHRONISED:
        if not (said.isdecimal() and int(said) and batch % int(said) == 0):
            raise UserError(
                f"config.train.batch_statistics={said!r}: expected 'synchronised', 'device', or a number of equal "
                f"parts of a batch of data.batch_size={batch}"
            )
        parts = int(said)
    train.batch_statistics = str(parts) if parts > 1 else SYNCHRONISED


def statistics_groups(config: ConfigDict) -> int:
    """Equal parts of a batch, each with batch statistics of its own, under a checked config."""
    said = config.train.get("batch_statistics", SYNCHRONISED)  # a bundle of an earlier version has none
    return 1 if said == SYNCHRONISED else int(said)


def _check_sizes(config: ConfigDict) -> None:
    stride = max(weights.network_fields(config[network])["output_stride"] for network in NETWORKS)
    smallest = max(MIN_SIZE, stride)
    optional = [field for field in ("crop", "teacher_size") if tuple(config.data[field]) != (0, 0)]
    for field in ("source_size", "target_size", *optional):
        size = tuple(config.data[field])
        if len(size) != 2 or not all(isinstance(side, int) and side >= smallest for side in size):
            raise UserError(
                f"config.data.{field}={size}: expected (width, height), each side at least {smallest} pixels, "
                f"or nothing is left after stride {stride} and the discriminator's five halvings"
            )
    if len(optional) == 2:
        for domain in (SOURCE, TARGET):
            own = zip(config.data.crop, config.data.teacher_size, config.data[f"{domain}_size"], strict=True)
            window = tuple(round(side * larger / smaller) for side, larger, smaller in own)
            if min(window) < smallest:
                raise UserError(
                    f"config.data.teacher_size={tuple(config.data.teacher_size)}: of data.crop="
                    f"{tuple(config.data.crop)} the teacher would see {window[0]}x{window[1]} of the {domain}: "
                    f"expected at least {smallest} pixels each way; raise one of them"
                )


def _check_networks(config: ConfigDict) -> None:
    taps = {network: check_network(network, config[network]) for network in NETWORKS}
    if config.loss.mse_on == "features" and taps["student"] != taps["teacher"]:
        strides = len({tap.stride for tap in taps.values()}) > 1
        student, teacher = (f"{tap.channels}{f' at stride {tap.stride}' * strides}" for tap in taps.values())
        raise UserError(
            "config.loss.mse_on='features' needs equal channel counts and strides, but the student's auxiliary tap has "
            f"{student} and the teacher's {teacher}; use 'log_probabilities' or equal widths"
        )
    _check_views(config)
    _choose("student.init_from", config.student.init_from, ("", "student"))
    _choose("teacher.statistics", config.teacher.statistics, ("running", "batch"))
    _choose("teacher.cache_dtype", config.teacher.cache_dtype, ("float32", "float16"))


def _check_views(config: ConfigDict) -> None:
    scales = tuple(config.teacher.views.scales)
    if not scales or not all(type(scale) in (int, float) and 0.25 <= scale <= 4 for scale in scales):
        raise UserError(f"config.teacher.views.scales={scales}: expected numbers from 0.25 to 4, as 0.75,1.0,1.25")
    config.teacher.views.scales = tuple(map(float, scales))  # 1 is 1.0 in an identity too
    if config.loss.mse_on == "features" and (scales[0] != 1 or any(config.data.teacher_size)):
        raise UserError(
            "config.loss.mse_on='features' compares features of pictures of one size: use 'log_probabilities', or "
            "leave config.data.teacher_size at 0,0 and begin config.teacher.views.scales with 1.0"
        )


def check_network(group: str, network) -> Outline:
    """Checks config.student or config.teacher; what is under its auxiliary head."""
    spec = BACKBONES.choose(network.arch, f"{group}.arch")
    _positive(f"{group}.width", network.width)
    _choose(f"{group}.batch_norm", network.batch_norm, ("trained", "frozen"))
    offered = {"output_stride": spec.output_strides, "normaliser": preprocessing.of_trunks()}
    for field, choices in offered.items():
        if network[field]:
            _choose(f"{group}.{field}", network[field], choices)
    try:
        found = outlines(spec, float(network.width), network.output_stride)
        _check_backbone(spec, found)
    except UserError as error:
        raise UserError(f"config.{group}.arch={network.arch!r} (width {network.width:g}): {error}") from error
    for field in ("main_tap", "auxiliary_tap"):
        if network[field]:
            _choose(f"{group}.{field}", network[field], found)
    taps = weights.network_fields(network)
    if network.decoder:
        _choose(f"{group}.decoder", network.decoder, DECODERS)
    if taps["decoder"] == SKIP and not spec.skip_tap:
        raise UserError(
            f"config.{group}.decoder={SKIP!r}: {network.arch} names no shallow feature for it; use 'linear'"
        )
    if taps["decoder"] == SKIP and found[taps["main_tap"]].stride % found[spec.skip_tap].stride:
        raise UserError(
            f"config.{group}.main_tap={taps['main_tap']!r} has stride {found[taps['main_tap']].stride}, and "
            f"{network.arch} adds {spec.skip_tap!r} of stride {found[spec.skip_tap].stride}: expected a multiple of it"
        )
    return found[taps["auxiliary_tap"]]


def _check_backbone(spec: Backbone, found: Mapping[str, Outline]) -> None:
    """Whether what a backbone names is there: a mistake of who wrote it."""
    for field in ("main_tap", "auxiliary_tap", *["skip_tap"] * bool(spec.skip_tap)):
        if getattr(spec, field) not in found:
            raise UserError(f"its {field} {getattr(spec, field)!r} is none of its features, {', '.join(found)}")
    if spec.normaliser not in preprocessing.NORMALISERS:
        known = ", ".join(preprocessing.NORMALISERS)
        raise UserError(f"its normaliser {spec.normaliser!r} is none of {known}; register it in NORMALISERS")


def _check_figures(figures) -> None:
    for how in words(figures.select):
        _choose("figures.select", how, SELECTIONS)
    if not words(figures.select) and not words(figures.pictures):
        raise UserError(f"config.figures.select and pictures are empty: name a selection of {', '.join(SELECTIONS)}")
    if not 1 <= figures.count <= MOST_PICTURES:
        raise UserError(f"config.figures.count={figures.count!r}: expected 1 to {MOST_PICTURES} pictures in a figure")


def _check_numbers(config: ConfigDict) -> None:
    if not 0 <= config.seed < SEEDS:
        raise UserError(f"config.seed={config.seed!r}: expected a number >= 0 and below 2**32")
    for group, fields in POSITIVE.items():
        for field in fields:
            _positive(f"{group}.{field}", config[group][field])
    for group, fields in NOT_NEGATIVE.items():
        for field in fields:
            _positive(f"{group}.{field}", config[group][field], zero=True)


def segmenter(network, num_classes: int) -> Segmenter:
    """The module of config.student or config.teacher."""
    return Segmenter(
        arch=network.arch,
        num_classes=num_classes,
        width=float(network.width),
        auxiliary_tap=network.auxiliary_tap,
        normaliser=network.normaliser,
        main_tap=network.main_tap,
        output_stride=network.output_stride,
        decoder=network.decoder,
    )


def stage_settings(config: ConfigDict, stage: paradigms.Stage, num_classes: int) -> StageSettings:
    """Settings of one stage under a checked config.

    Raises:
      UserError: pictures that the data would mix are to be mixed by an adaptation method.
    """
    loss, optim = config.loss, config.optim
    models = StepModels(
        segmenter=segmenter(config[stage.network], num_classes),
        teacher=segmenter(config.teacher, num_classes) if stage.distils else None,
    )
    methods = options.make_methods(config, distils=stage.distils) if stage.adapt else ()
    mixing = [method.NAME for method in methods if method.data()]
    if mixing and stage.distil_target and config.data.get("class_mix", 0) > 0:
        raise UserError(
            f"config.data.class_mix={config.data.class_mix}, and the adaptation method {mixing[0]!r} mixes pictures "
            "itself: set --config.data.class_mix=0"
        )
    terms = _active_terms(config, stage)
    step_options = StepOptions(
        terms=terms,
        methods=methods,
        sees_target=_sees_target(stage, methods, terms),
        teacher_statistics=config.teacher.statistics,
        teacher_views=teacher_views(config),
        student_statistics="running" if config[stage.network].batch_norm == "frozen" else "batch",
        statistics_groups=statistics_groups(config),
        skip_nonfinite=config.train.on_nonfinite == "skip",
        precision=config.train.get("precision", "float32"),  # a bundle of an earlier version has none
    )
    weights = LossWeights(
        terms=options.term_weights(config),
        methods=options.method_weights(config, distils=stage.distils) if stage.adapt else {},
        seg_auxiliary=loss.seg_auxiliary,
        distil_source=float(stage.distil_source),
        distil_target=loss.target * stage.distil_target,
        watch_inactive=loss.watch_inactive,
    )
    width, height = training_size(config, stage.network, "source")
    return StageSettings(
        models=models,
        options=step_options,
        weights=weights,
        optimizer=SegmenterOptimizer(
            optim.momentum,
            optim.nesterov,
            optim.weight_decay,
            kind=optim.optimizer,
            clip_norm=float(optim.clip_norm),
            head_factor=float(optim.head_learning_rate_factor),
        ),
        steps=config.train.teacher_steps if stage.network == "teacher" else config.train.steps,
        size=(height, width),
        taught_on=_taught_on(stage, weights),
        teacher_size=tuple(config.data.get("teacher_size", (0, 0))),
        clean=bool(config.teacher.views.clean),
    )


def _taught_on(stage: paradigms.Stage, weights: LossWeights) -> tuple[str, ...]:
    if weights.watch_inactive and stage.distils:
        return (SOURCE, TARGET)
    return (*[SOURCE] * stage.distil_source, *[TARGET] * bool(weights.distil_target))


def teacher_views(config: ConfigDict) -> Views:
    """What the teacher is shown of a picture when it teaches."""
    views = config.teacher.views
    return Views(bool(views.mirror), tuple(map(float, views.scales)))


def training_size(config: ConfigDict, network: str, domain: str = TARGET) -> tuple[int, int]:
    """(width, height) of the training pictures of 'source' or 'target' as 'student' or 'teacher' sees them."""
    own = tuple(config.data.get("teacher_size", ()))  # a bundle of an earlier version has none
    return own if network == "teacher" and any(own) else tuple(config.data[f"{domain}_size"])


def loop_settings(config: ConfigDict) -> LoopSettings:
    """Settings of every stage's loop under a checked config."""
    optim, train = config.optim, config.train
    return LoopSettings(
        batch_size=config.data.batch_size,
        learning_rate=optim.learning_rate,
        decay_steps=optim.decay_steps,
        power=optim.power,
        warmup_steps=optim.warmup_steps,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        eval_every=train.eval_every,
        keep_checkpoints=train.keep_checkpoints,
        keep_every=train.keep_every,
        max_skipped=train.max_skipped,
        protocol=predict.protocol(config.eval.protocol),
        devices=train.devices,
        memory_budget_gb=train.memory_budget_gb,
    )


def choice_settings(config: ConfigDict) -> ChoiceSettings:
    """How a stage's checkpoint is chosen under a checked config."""
    train = config.train
    return ChoiceSettings(train.select, train.eval_every, train.select_pictures, config.eval.batch_size)


def evaluation_settings(config: ConfigDict, network: str = "student") -> EvaluationSettings:
    """How a network of config.student or config.teacher is evaluated under a config."""
    size = training_size(config, network)
    return EvaluationSettings(config.eval.protocol, config.eval.batch_size, config.eval.pictures, size)


def _active_terms(config: ConfigDict, stage: paradigms.Stage) -> tuple[ActiveTerm, ...]:
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
