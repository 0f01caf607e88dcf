"""One iteration of training, from state and batch to state and losses.

Order (as in the released code): gradients of the source losses, then of the target losses, added up; then the
discriminators' gradients on the detached predictions; then all optimisers step. Batch-norm statistics are those
of each domain's own batch.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
import optax

from dakd_jax.models import segmenter
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.precision import widened
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import distillation, segmentation
from dakd_jax.objectives.adaptation import adversarial
from dakd_jax.training.optimizers import DiscriminatorOptimizer, SegmenterOptimizer, descend
from dakd_jax.training.train_state import TrainState

FINITE = "finite"


class LossWeights(flax.struct.PyTreeNode):
    """The lambdas of the objective, all traced: changing one compiles nothing.

    distil_source and distil_target (0 or lambda_target) multiply the whole distillation loss of a domain; at 0 the
    teacher is not run there, unless watch_inactive asks for the terms' values.
    """

    seg_auxiliary: float = 0.1  # weighs every auxiliary term of segmentation and KL
    adversarial_auxiliary: float = 2e-4
    adversarial_main: float = 1e-3
    kl: float = 0.1
    mse: float = 0.01
    ce: float = 1.0
    distil_source: float = 0.0
    distil_target: float = 0.0
    watch_inactive: bool = False


class LearningRates(flax.struct.PyTreeNode):
    """Learning rates of this step."""

    segmenter: float
    discriminator: float


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What shapes the compiled step.

    Attributes:
      adapt: train against discriminators on target pictures; without it the batch needs no target.
      adversarial: 'vanilla' or 'least_squares'.  levels: 'multi' or 'single'.
      kl_reduction: see losses.distillation.kl_divergence.
      mse_on: 'log_probabilities' of the auxiliary head, or 'features' under it.
      teacher_statistics: 'running', or those of the 'batch'.
      skip_nonfinite: leave the state as it was where anything that is watched is not finite.
      precision: what all networks compute in, a key of models.precision.PRECISIONS.
    """

    adapt: bool = True
    adversarial: str = "vanilla"
    levels: str = "multi"
    kl_reduction: str = "mean"
    mse_on: str = "log_probabilities"
    teacher_statistics: str = "running"
    skip_nonfinite: bool = False
    precision: str = "float32"


@dataclasses.dataclass(frozen=True)
class StepModels:
    """The modules of a step; teacher is None without distillation."""

    segmenter: Segmenter
    discriminator: Discriminator
    teacher: Segmenter | None = None


def _forward(model, variables, images, *, train, precision="float32"):
    """({level: log-probabilities}, features, new batch statistics) of a segmenter on uint8 pictures."""
    statistics = "batch" if train else "running"
    heads, stats = segmenter.forward(model, variables, images, statistics=statistics, precision=precision)
    return heads.log_probabilities(images.shape[1:3]), widened(heads.features[model.auxiliary_tap]), stats


def _teacher_forward(teacher, images, weight, weights, *, model, options):
    """The teacher's (log-probabilities, features) without gradient; zeros where this domain does not distil."""

    def run(images):
        train = options.teacher_statistics == "batch"
        log_probs, features, _ = _forward(model, teacher, images, train=train, precision=options.precision)
        return log_probs, features

    shapes = jax.eval_shape(run, images)

    def skip(images):
        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    active = (weight != 0) | weights.watch_inactive
    return jax.lax.stop_gradient(jax.lax.cond(active, run, skip, images))


def _distillation(student, teacher, known, weights, options):
    """(weighted sum, unweighted terms) of the three distillation losses on one domain's pictures.

    known: uint8 [B, H, W], labels that take the place of the teacher's classes where not 255; or None.
    """
    (logp, features), (teacher_logp, teacher_features) = student, teacher
    kl = functools.partial(distillation.kl_divergence, reduction=options.kl_reduction)
    pair = (features, teacher_features) if options.mse_on == "features" else (
        logp["auxiliary"], teacher_logp["auxiliary"])  # fmt: skip
    terms = {
        "kl_main": kl(logp["main"], teacher_logp["main"]),
        "kl_auxiliary": kl(logp["auxiliary"], teacher_logp["auxiliary"]),
        "mse_auxiliary": distillation.mean_squared_error(*pair),
        "quasi_ce_main": distillation.quasi_teacher_cross_entropy(logp["main"], teacher_logp["main"], known),
    }
    total = (
        weights.kl * (terms["kl_main"] + weights.seg_auxiliary * terms["kl_auxiliary"])
        + weights.mse * terms["mse_auxiliary"]
        + weights.ce * terms["quasi_ce_main"]
    )
    return total, terms


def _with_distillation(total, terms, student, teacher, images, weight, weights, models, options, known=None):
    """Adds one domain's distillation to its losses; a no-op without a teacher."""
    if models.teacher is None:
        return total, terms
    guide = _teacher_forward(teacher, images, weight, weights, model=models.teacher, options=options)
    distilled, more = _distillation(student, guide, known, weights, options)
    return total + weight * distilled, terms | more


def _source_loss(params, batch_stats, teacher, batch, weights, *, models, options):
    """Segmentation and distillation on source pictures."""
    images = batch["source_image"]
    variables = {"params": params, "batch_stats": batch_stats}
    logp, features, batch_stats = _forward(models.segmenter, variables, images, train=True, precision=options.precision)
    terms = {
        f"seg_{level}": segmentation.cross_entropy(logp[level], batch["source_label"])
        for level in ("main", "auxiliary")
    }
    total = terms["seg_main"] + weights.seg_auxiliary * terms["seg_auxiliary"]
    total, terms = _with_distillation(
        total, terms, (logp, features), teacher, images, weights.distil_source, weights, models, options
    )
    return total, (terms | {"total": total}, logp, batch_stats)


def _target_loss(params, batch_stats, discriminators, teacher, batch, weights, *, models, options):
    """Adversarial and distillation losses on target pictures."""
    images = batch["target_image"]
    variables = {"params": params, "batch_stats": batch_stats}
    logp, features, batch_stats = _forward(models.segmenter, variables, images, train=True, precision=options.precision)
    how = {"kind": options.adversarial, "precision": options.precision}
    judged = adversarial.generator_terms(models.discriminator, discriminators, logp, **how)
    total = sum(getattr(weights, f"adversarial_{level}") * term for level, term in judged.items())
    terms = {f"adversarial_{level}": term for level, term in judged.items()}
    known = batch.get("target_label")
    total, terms = _with_distillation(
        total, terms, (logp, features), teacher, images, weights.distil_target, weights, models, options, known
    )
    return total, (terms | {"total": total}, logp, batch_stats)


def _discriminator_loss(discriminators, source, target, *, models, options):
    how = {"kind": options.adversarial, "precision": options.precision}
    terms = adversarial.discriminator_terms(models.discriminator, discriminators, source, target, **how)
    return sum(terms.values()), terms


def losses_and_gradients(state, teacher, batch, weights, *, models, options):
    """All gradients of one iteration.

    Returns:
      (segmenter gradients, discriminator gradients {level: tree} or None, new batch statistics,
      {'loss/<source|target|discriminator>/<term>': scalar}).
    """
    kw = {"models": models, "options": options}
    (_, (terms, source_logp, stats)), grads = jax.value_and_grad(_source_loss, has_aux=True)(
        state.params, state.batch_stats, teacher, batch, weights, **kw
    )
    losses = {f"loss/source/{k}": v for k, v in terms.items()}
    if not options.adapt:
        return grads, None, stats, losses

    (_, (terms, target_logp, stats)), target_grads = jax.value_and_grad(_target_loss, has_aux=True)(
        state.params, stats, state.discriminators, teacher, batch, weights, **kw
    )
    grads = jax.tree.map(jnp.add, grads, target_grads)
    (_, judged), discriminator_grads = jax.value_and_grad(_discriminator_loss, has_aux=True)(
        state.discriminators, source_logp, target_logp, **kw
    )
    losses |= {f"loss/target/{k}": v for k, v in terms.items()}
    losses |= {f"loss/discriminator/{k}": v for k, v in judged.items()}
    return grads, discriminator_grads, stats, losses


@functools.partial(
    jax.jit,
    static_argnames=("models", "options", "optimizer", "discriminator_optimizer"),
    donate_argnames=("state",),
)
def train_step(
    state: TrainState,
    teacher: dict | None,
    batch: dict,
    weights: LossWeights,
    rates: LearningRates,
    *,
    models: StepModels,
    options: StepOptions,
    optimizer: SegmenterOptimizer,
    discriminator_optimizer: DiscriminatorOptimizer,
) -> tuple[TrainState, dict]:
    """One iteration.

    Args:
      state: donated; do not use it afterwards.
      teacher: {'params', 'batch_stats'}, constant; None without distillation.
      batch: source_image uint8 [B, H, W, 3], source_label uint8 [B, H, W] (255 = ignore) and, when adapting,
        target_image uint8 [B, H', W', 3]. With class-mix also target_label uint8 [B, H', W']: the train ids of
        target_image where they are known, 255 elsewhere; only the quasi-teacher cross entropy looks at it.

    Returns:
      (next state, {'loss/...' and 'norm/...': float scalars on the device, FINITE: whether all of them are finite}).
    """
    grads, discriminator_grads, stats, losses = losses_and_gradients(
        state, teacher, batch, weights, models=models, options=options
    )
    after = _apply(state, grads, discriminator_grads, stats, rates, optimizer, discriminator_optimizer)
    watched = losses | _norms(grads, discriminator_grads or {}, after)
    finite = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(value, jnp.float32) for value in watched.values()])))
    if options.skip_nonfinite:
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        after = kept.replace(step=after.step)
    return after, watched | {FINITE: finite}


def _norms(grads, discriminator_grads, after: TrainState) -> dict:
    """Global norms of the gradients and of the parameters after the step."""
    norms = {
        "norm/gradient/segmenter": optax.tree.norm(grads),
        "norm/parameters/segmenter": optax.tree.norm(after.params),
    }
    for level, tree in discriminator_grads.items():
        norms[f"norm/gradient/discriminator_{level}"] = optax.tree.norm(tree)
        norms[f"norm/parameters/discriminator_{level}"] = optax.tree.norm(after.discriminators[level])
    return norms


def _apply(state, grads, discriminator_grads, stats, rates, optimizer, discriminator_optimizer) -> TrainState:
    """The state after all optimisers have stepped."""
    params, opt_state = descend(optimizer.build(), grads, state.opt_state, state.params, rates.segmenter)
    state = state.replace(step=state.step + 1, params=params, batch_stats=stats, opt_state=opt_state)
    if discriminator_grads is None:
        return state

    tx = discriminator_optimizer.build()
    stepped = {
        level: descend(
            tx,
            discriminator_grads[level],
            state.discriminators_opt_state[level],
            state.discriminators[level],
            rates.discriminator,
        )
        for level in state.discriminators
    }
    return state.replace(
        discriminators={level: new for level, (new, _) in stepped.items()},
        discriminators_opt_state={level: new for level, (_, new) in stepped.items()},
    )
