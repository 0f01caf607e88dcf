"""Which checkpoint counts: candidates are scored without a label of the target domain.

The score of a candidate is its mIoU on labelled source pictures (val; train where there is none): the choice 'source',
which measured best (docs/RESULTS.md) and is the default. The others take the mean of it and a criterion on unlabelled
target pictures; a stage that sees no target has the first alone.
Choosing by the target's validation labels would use what unsupervised adaptation does not have.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from dakd_jax.evaluation import metrics, predict
from dakd_jax.models.segmenter import Segmenter, forward
from dakd_jax.objectives import paradigms
from dakd_jax.objectives.training_data import TrainingData

# 'entropy': Morerio et al., "Minimal-entropy correlation alignment", ICLR 2018: certain predictions, 1 - mean entropy.
# 'neighbourhood': Saito et al., "Tune it the right way", ICCV 2021: soft neighbourhood density of the predictions.
# 'consistency': agreement of the predictions for a picture and for its mirror image, as their mIoU.
CRITERIA = ("entropy", "consistency", "neighbourhood")
LAST = "last"
SOURCE = "source"  # the mIoU on source pictures alone
CHOICES = (*CRITERIA, SOURCE, LAST)  # of config.train.select

SCORE = "selection"  # of a candidate, in rows of metrics.jsonl
NEIGHBOURS = 512  # pixels of a picture that the density looks at, spread over the grid of its logits
TEMPERATURE = 0.05  # of the density (Saito et al., section 3.2)


@dataclasses.dataclass(frozen=True)
class ChoiceSettings:
    """What the candidates are and how one is chosen.

    Attributes:
      by: one of CHOICES.
      every: steps between two candidates, 0: there are none.
      pictures: of each domain, that a candidate is scored on.
      batch_size: pictures in a batch.
    """

    by: str
    every: int
    pictures: int
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Selection:
    """How the candidates of a stage are scored.

    Attributes:
      by: one of CRITERIA, or 'source_miou'.
      model: the stage's network.
      source_batches: () -> one pass over labelled source pictures (image, label, mask, names).
      target_batches: () -> one pass over unlabelled target pictures (image, mask); None where only the source counts.
      among: who looks at the pictures; the batches are those of this process.
    """

    by: str
    model: Segmenter
    source_batches: Callable[[], Iterable[dict]]
    target_batches: Callable[[], Iterable[dict]] | None
    among: predict.Alone = predict.ALONE

    def score(self, variables: dict, on_batch: Callable[[int], None] = lambda pictures: None) -> dict[str, float]:
        """What is logged of a candidate: 'source_miou', SCORE and, with a target, 'target_<criterion>' of all; 0 to 1.

        Args:
          on_batch: told the number of pictures of each batch; what it raises ends the scoring.
        """
        confusion, _ = predict.evaluate(
            self.model, variables, self.source_batches(), predict.Protocol(), among=self.among, on_batch=on_batch
        )
        source = metrics.scores(confusion).miou_present
        if not self.target_batches:
            return {"source_miou": source, SCORE: source}
        found = criteria(self.model, variables, self.target_batches(), on_batch, self.among)
        values = {"source_miou": source} | {f"target_{name}": value for name, value in found.items()}
        return values | {SCORE: (source + found[self.by]) / 2}


def rule(chosen: ChoiceSettings, stage: paradigms.Stage, steps: int, feed: TrainingData) -> dict | None:
    """By what a stage's weights are chosen, as plain data; None where there is no choice and the last ones count.

    Stages that learn from labels of the target have no use for it, and a single candidate needs none.

    Args:
      steps: of the stage.
      feed: the data.
    """
    by = chosen.by
    if by == LAST or not 0 < chosen.every < steps or stage.labelled != "source":
        return None
    return {
        "by": by if stage.adapt and by != SOURCE else "source_miou",
        "source": feed.source_split,
        "every": chosen.every,
        "pictures": chosen.pictures,
        "batch_size": chosen.batch_size,
        "data": feed.selection_fingerprint(chosen.pictures),
    }


def from_rule(
    found: dict | None, model: Segmenter, feed: TrainingData, network: str, among: predict.Alone = predict.ALONE
) -> Selection | None:
    """The Selection of a rule() for a stage that trains `network`, 'student' or 'teacher'; None for None."""
    if found is None:
        return None
    kw = {"count": found["pictures"], "batch_size": found["batch_size"], "network": network, "host": among.host}
    return Selection(
        by=found["by"],
        model=model,
        source_batches=lambda: feed.source_batches(**kw),
        target_batches=(lambda: feed.target_batches(**kw)) if found["by"] in CRITERIA else None,
        among=among,
    )


def best_step(rows: Iterable[dict], steps: Iterable[int]) -> int | None:
    """The candidate with the highest score, of those among `steps`; of equal ones the last. None without any.

    Args:
      rows: of metrics.jsonl.
      steps: whose weights are still there.
    """
    there = set(steps)
    scored = [(row[SCORE], row["step"]) for row in rows if row.get(SCORE) is not None and row["step"] in there]
    return max(scored)[1] if scored else None


def criteria(
    model: Segmenter,
    variables: dict,
    batches: Iterable[dict],
    on_batch: Callable[[int], None] = lambda pictures: None,
    among: predict.Alone = predict.ALONE,
) -> dict[str, float]:
    """Every one of CRITERIA on unlabelled pictures, each 0 to 1, the higher the better.

    Args:
      batches: dicts of `image` uint8 [B, H, W, 3] and `mask` bool [B].
      on_batch: told the number of pictures of each batch; what it raises ends the pass.
      among: who makes the pass; `batches` are those of this process.
    """
    variables, batches = among.place(variables, batches)

    def count() -> dict[str, np.ndarray]:
        pictures, certainty, density = 0, 0.0, 0.0
        agreement = np.zeros((model.num_classes, model.num_classes), np.int64)
        for batch in batches:
            mask = np.asarray(batch["mask"])
            found = jax.device_get(_look(variables, batch["image"], mask, model=model))
            pictures += int(mask.sum())
            certainty += float(found["certainty"][mask].sum(dtype=np.float64))
            density += float(found["density"][mask].sum(dtype=np.float64))
            agreement += found["agreement"]
            on_batch(int(mask.sum()))
        return {"pictures": pictures, "entropy": certainty, "neighbourhood": density, "agreement": agreement}

    parts = predict.gathered_by(among, count)
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    means = {name: float(total[name]) / int(total["pictures"]) for name in ("entropy", "neighbourhood")}
    return {"consistency": metrics.scores(total["agreement"]).miou} | means


@functools.partial(jax.jit, static_argnames=("model",))
def _look(variables, images, mask, *, model) -> dict:
    """'certainty' and 'density' [B] of each picture, 'agreement' int32 [C, C] with the mirror images."""

    def run(batch):
        heads, _ = forward(model, variables, batch)
        return heads.main, heads.log_probabilities(batch.shape[1:3])["main"]

    (logits, log_probs), (_, mirrored) = run(images), run(images[:, :, ::-1])
    classes, mirrored_classes = (jnp.argmax(x, axis=-1) for x in (log_probs, mirrored[:, :, ::-1]))
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1).mean(axis=(1, 2))
    return {
        "certainty": 1 - entropy / np.log(model.num_classes),
        "density": jax.vmap(neighbourhood_density)(jax.nn.softmax(logits.astype(jnp.float32), axis=-1)),
        "agreement": metrics.confusion_matrix(classes, mirrored_classes, num_classes=model.num_classes, mask=mask),
    }


def neighbourhood_density(probabilities: jax.Array) -> jax.Array:
    """Soft neighbourhood density of one picture, 0 to 1 (Saito et al. 2021, equations 1 to 3).

    The similarities of each pixel's class probabilities to those of the others, as a distribution; its mean entropy,
    divided by the largest possible.

    Args:
      probabilities: float32 [h, w, C]; at most NEIGHBOURS of the pixels are used, spread evenly.
    """
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    count = min(NEIGHBOURS, len(flat))
    chosen = flat[np.arange(count) * len(flat) // count]
    unit = chosen / jnp.linalg.norm(chosen, axis=-1, keepdims=True)
    similarity = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, unit @ unit.T / TEMPERATURE)
    log_share = jax.nn.log_softmax(similarity, axis=-1)
    share = jnp.exp(log_share)
    entropy = -jnp.sum(jnp.where(share > 0, share * jnp.where(share > 0, log_share, 0.0), 0.0), axis=-1)
    return entropy.mean() / np.log(max(count - 1, 2))
