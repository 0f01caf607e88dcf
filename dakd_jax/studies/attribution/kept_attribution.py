"""Attributions of finished plans, made once and kept."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from dakd_jax.basics import records
from dakd_jax.basics.kept_arrays import Kept
from dakd_jax.objectives import paradigms
from dakd_jax.stages import stage_identity, weights
from dakd_jax.studies.attribution import Alignment, Attribution, NetworkCounts, collection

FORMAT = 2  # raise it when the counting changes
_COUNTS = tuple(field.name for field in dataclasses.fields(NetworkCounts))
_TEXTS = ("class_names", "titles", "reference", "cases", "pictures", "notes")
_ABOUT = "about"


def identity(experiment) -> dict:
    """All that an attribution of a stages.Experiment depends on, as plain data: weights by their hash, rules, data."""
    config, evaluator, feed = experiment.config, experiment.evaluator, experiment.feed
    stages = {}
    for name, planned in experiment.plan.items():
        folder = planned.folder / "checkpoints"
        stages[name] = {
            "stage": planned.hash,
            "weights": weights.hash_file(planned.replaced_by or planned.folder),
            "checkpoints": sorted(path.name for path in folder.glob("[0-9]*")) if folder.is_dir() else [],
        }
    fingerprint = feed.protocol_fingerprint if collection.with_instances(experiment) else feed.evaluation_fingerprint
    return records.plain(
        {
            "format": FORMAT,
            "stages": stages,
            "loss": config.loss.to_dict(),
            "seed": config.seed,
            **evaluator.identity,
            "data": fingerprint(),
            # Of the gradients' batches; where a stage trained here is compared its hash holds them too.
            "training_data": stage_identity.counted(config, paradigms.STAGES["case_c"]),
            "sizes": [config.data.source_size, config.data.target_size],
            "gradient_batches": collection.GRADIENT_BATCHES,
        }
    )


def ensure(folder: pathlib.Path, of: dict, collect: Callable[[], Attribution]) -> tuple[Attribution, bool]:
    """The attribution kept in a folder of this very identity, else a new one, which is kept.

    Returns:
      it, and whether `collect` was called.
    """
    kept = Kept.named(folder, "attribution", of, digits=10)
    if (arrays := kept.read()) is not None:
        return _from_arrays(arrays), False
    found = collect()
    kept.write(_to_arrays(found))
    return found, True


def _to_arrays(found: Attribution) -> dict[str, np.ndarray]:
    about = {name: getattr(found, name) for name in _TEXTS} | {
        "networks": list(found.networks),
        "over_training": {name: list(steps) for name, steps in found.over_training.items()},
        "terms": {name: alignment.terms for name, alignment in found.alignments.items()},
    }
    arrays = {"confidence": found.confidence, _ABOUT: np.array(json.dumps(about))}
    for name, counts in found.networks.items():
        arrays |= {f"{name}/{field}": getattr(counts, field) for field in _COUNTS}
    for name, steps in found.over_training.items():
        arrays |= {f"{name}/step/{step}": quasi for step, quasi in steps.items()}
    for name, alignment in found.alignments.items():
        arrays |= {f"{name}/cosine": alignment.cosine, f"{name}/norm": alignment.norm}
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray]) -> Attribution:
    about = json.loads(str(arrays[_ABOUT]))
    texts = {name: tuple(about[name]) if isinstance(about[name], list) else about[name] for name in _TEXTS}
    return Attribution(
        **texts,
        networks={n: NetworkCounts(*(arrays[f"{n}/{field}"] for field in _COUNTS)) for n in about["networks"]},
        confidence=arrays["confidence"],
        over_training={n: {s: arrays[f"{n}/step/{s}"] for s in steps} for n, steps in about["over_training"].items()},
        alignments={
            n: Alignment(tuple(terms), arrays[f"{n}/cosine"], arrays[f"{n}/norm"])
            for n, terms in about["terms"].items()
        },
    )
