"""Adversarial alignment of the outputs at one or two levels (paper section 3.1).

A discriminator per level learns to tell source from target predictions; the segmenter learns to make its target
predictions look like source ones. A watch says when a discriminator has stopped being an opponent: it always wins, or
it only guesses. Nothing is stopped: both may be the right end of a run (a student that really looks alike on both
domains leaves its discriminator guessing).
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.precision import computing_params, widened
from dakd_jax.objectives.adaptation import Method, Tools, register
from dakd_jax.objectives.context import SOURCE, TARGET, LossContext, Option, Outputs, Part
from dakd_jax.objectives.optimizers import DiscriminatorOptimizer, descend

LEVELS = {"multi": ("auxiliary", "main"), "single": ("main",)}
SOURCE_LABEL, TARGET_LABEL = 0.0, 1.0


def binary_cross_entropy(logits: jax.Array, domain: float) -> jax.Array:
    """Mean binary cross entropy of logits (any shape) against one domain label, in the stable form."""
    return jnp.mean(jax.nn.softplus(logits) - logits * domain)


def least_squares(logits: jax.Array, domain: float) -> jax.Array:
    """Mean squared distance of raw outputs (any shape) to one domain label (LSGAN)."""
    return jnp.mean(jnp.square(logits - domain))


JUDGES = {"vanilla": binary_cross_entropy, "least_squares": least_squares}
# Half of the loss of a discriminator that only guesses: 0.5 ln 2 at probability 1/2, 0.5 (1/2)^2 at output 1/2.
CHANCE = {"vanilla": 0.5 * math.log(2), "least_squares": 0.125}
NEAR = 0.05  # of the loss at chance: how near to 0 both halves together are, or how near to chance each of them
LEAST_ROWS, SHARE_OF_RUN = 20, 0.2  # 'long' is both: so many logged rows, and this share of all rows of the run
MOST_EXCEPTIONS = 0.1  # of these rows may be otherwise: a row is one batch, and single batches differ
COLLAPSED, AT_CHANCE = "collapsed", "at chance"

ADVICE = {
    COLLAPSED: (
        "the {level} discriminator has won: it tells source from target without error (loss under {near:.0%} of "
        "chance in the last {rows} logged rows), so the student is not being made to look alike on both; to change "
        "that lower --config.optim.discriminator_learning_rate or --config.discriminator.width, or raise "
        "--config.loss.adversarial_{level}; distillation on target may raise the scores all the same"
    ),
    AT_CHANCE: (
        "the {level} discriminator only guesses (loss within {near:.0%} of chance in the last {rows} logged rows); if "
        "it has done so from the start it learns nothing: raise --config.optim.discriminator_learning_rate; if it "
        "once did better the student fools it: good while the target scores rise, else lower "
        "--config.loss.adversarial_{level}"
    ),
}


@register
@dataclasses.dataclass(frozen=True)
class Adversarial(Method):
    """State: {'discriminators': {level: parameters}, 'opt_state': {level: Adam's}}."""

    discriminator: Discriminator = Discriminator()
    kind: str = "vanilla"
    levels: str = "multi"
    learning_rate: float = dataclasses.field(default=1e-3, compare=False)  # one program serves all
    optimizer: DiscriminatorOptimizer = DiscriminatorOptimizer()

    NAME = "adversarial"
    OPTIONS = {
        "kind": Option("vanilla", "how discriminators are judged", tuple(JUDGES), field="loss.adversarial"),
        "levels": Option("multi", "'single': none on the auxiliary head", tuple(LEVELS), field="loss.levels"),
        "auxiliary": Option(2e-4, "weight at the auxiliary head", weight=True, field="loss.adversarial_auxiliary"),
        "main": Option(1e-3, "weight at the main head", weight=True, field="loss.adversarial_main"),
        "width": Option(1.0, "multiplies channel counts", positive=True, field="discriminator.width"),
        "learning_rate": Option(1e-3, "of Adam", positive=True, field="optim.discriminator_learning_rate"),
    }  # fmt: skip
    CURVES = {"adversarial": ("adversarial_",), "discriminator": ("discriminator",)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Adversarial":
        rest = {name: value for name, value in values.items() if name != "width"}
        return cls(discriminator=Discriminator(width=float(values["width"])), **rest)

    def learning_rates(self) -> dict[str, float]:
        return {"discriminator": self.learning_rate}

    def init(self, key, student, model) -> dict:
        discriminators = {
            level: init_discriminator(self.discriminator, key(f"discriminator/{level}"), model.num_classes)
            for level in LEVELS[self.levels]
        }
        return self.start(discriminators)

    def start(self, discriminators: dict) -> dict:
        """The state at step 0 of given {level: parameters}."""
        tx = self.optimizer.build()
        opt_state = {level: tx.init(params) for level, params in discriminators.items()}
        return {"discriminators": discriminators, "opt_state": opt_state}

    def terms(self, state, context: LossContext, weights) -> dict[str, Part]:
        found = generator_terms(
            self.discriminator,
            state["discriminators"],
            context.student.log_probs,
            kind=self.kind,
            precision=context.precision,
        )
        return {f"adversarial_{level}": Part(term, weights[level]) for level, term in found.items()}

    def update(self, state, outputs, batch, tools: Tools) -> tuple[dict, dict]:
        grads, logged = self.gradients(state, outputs, batch, tools.precision)
        tx = self.optimizer.build()
        params, opt_state = {}, {}
        for level, before in state["discriminators"].items():
            params[level], opt_state[level] = descend(
                tx, grads[level], state["opt_state"][level], before, tools.rates["discriminator"]
            )
            logged[f"norm/gradient/discriminator_{level}"] = optax.tree.norm(grads[level])
            logged[f"norm/parameters/discriminator_{level}"] = optax.tree.norm(params[level])
        return {"discriminators": params, "opt_state": opt_state}, logged

    def gradients(self, state, outputs, batch, precision: str) -> tuple[dict, dict]:
        """({level: gradients}, {'loss/discriminator/<domain>_<level>': scalar}) of telling the domains apart."""

        def loss(params):
            source, target = (outputs[domain].log_probs for domain in (SOURCE, TARGET))
            how = {"kind": self.kind, "precision": precision}
            terms = discriminator_terms(self.discriminator, params, source, target, **how)
            return sum(terms.values()), terms

        (_, terms), grads = jax.value_and_grad(loss, has_aux=True)(state["discriminators"])
        return grads, {f"loss/discriminator/{name}": term for name, term in terms.items()}

    def watch(self, rows: int) -> "DiscriminatorWatch":
        return DiscriminatorWatch(self.kind, rows)

    def layers(self, state, outputs: Outputs, precision: str) -> Iterator[tuple[str, Any, dict, jax.Array]]:
        for level, params in state["discriminators"].items():
            variables = {"params": computing_params(params, precision)}
            yield f"discriminator_{level}", self.discriminator, variables, jnp.exp(outputs.log_probs[level])


@functools.partial(jax.jit, static_argnames=("model", "num_classes"))
def init_discriminator(model: Discriminator, key: jax.Array, num_classes: int) -> dict:
    """Parameters of a discriminator of predictions of so many classes."""
    return model.init(key, jnp.zeros((1, 32, 32, num_classes)))["params"]


def generator_terms(
    model: Discriminator, params: dict, log_probs: Mapping, *, kind: str, precision: str = "float32"
) -> dict:
    """Per level, how far the discriminator is from taking target predictions for source ones.

    Args:
      params: {level: discriminator parameters}; constants here.
      log_probs: {level: [B, H, W, C]} of the segmenter on target pictures.
      kind: a key of JUDGES.
      precision: a key of models.precision.PRECISIONS, of the discriminators.

    Returns:
      {level: scalar}, unweighted.
    """
    judge = JUDGES[kind]
    return {level: judge(_logits(model, params[level], log_probs[level], precision), SOURCE_LABEL) for level in params}


def discriminator_terms(
    model: Discriminator, params: dict, source: Mapping, target: Mapping, *, kind: str, precision: str = "float32"
) -> dict:
    """Per level and domain, half the loss of telling the domains apart; predictions are constants.

    Args:
      params: {level: discriminator parameters}, differentiated.
      source, target: {level: log-probabilities [B, H, W, C]}.

    Returns:
      {"source_<level>" | "target_<level>": scalar}, each already halved.
    """
    judge = JUDGES[kind]
    terms = {}
    for name, log_probs, domain in (("source", source, SOURCE_LABEL), ("target", target, TARGET_LABEL)):
        for level in params:
            seen = jax.lax.stop_gradient(log_probs[level])
            terms[f"{name}_{level}"] = 0.5 * judge(_logits(model, params[level], seen, precision), domain)
    return terms


def _logits(model, params, log_probs, precision):
    return widened(model.apply({"params": computing_params(params, precision)}, jnp.exp(log_probs)))


class DiscriminatorWatch:
    """Looks at the logged rows of one stage, in order, and remembers what it has said.

    A stage that is resumed starts anew with its next rows.

    Args:
      kind: config.loss.adversarial, a key of CHANCE.
      rows: how many rows the whole stage logs (steps / log_every).
    """

    def __init__(self, kind: str, rows: int):
        self._chance = CHANCE[kind]
        self._long = max(LEAST_ROWS, math.ceil(SHARE_OF_RUN * rows))
        self._seen: dict[str, collections.deque] = {}
        self._said: set[tuple[str, str]] = set()

    def add(self, values: Mapping[str, float | None]) -> list[str]:
        """Takes a row: 'loss/discriminator/<source|target>_<level>' in it. Returns what is to be said now, in lines.

        Each thing is said once of each level. Rows without these values, or with one that is not finite, do not count.
        """
        lines = []
        for level in ("auxiliary", "main"):
            halves = [values.get(f"loss/discriminator/{domain}_{level}") for domain in ("source", "target")]
            if any(half is None or not math.isfinite(half) for half in halves):
                continue
            seen = self._seen.setdefault(level, collections.deque(maxlen=self._long))
            seen.append(self._state(*halves))
            for state in (COLLAPSED, AT_CHANCE):
                enough = len(seen) == self._long and seen.count(state) >= (1 - MOST_EXCEPTIONS) * self._long
                if enough and (level, state) not in self._said:
                    self._said.add((level, state))
                    lines.append(ADVICE[state].format(level=level, near=NEAR, rows=self._long))
        return lines

    def _state(self, source: float, target: float) -> str:
        if source + target < NEAR * 2 * self._chance:
            return COLLAPSED
        guesses = all(abs(half - self._chance) < NEAR * self._chance for half in (source, target))
        return AT_CHANCE if guesses else ""
