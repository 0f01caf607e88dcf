"""How well each criterion chooses a checkpoint: python -m benchmarks.selection_criteria WORKDIR [METRIC]

Reads the curves of a run's finished stages that had a choice under one of the criteria (--config.train.select=entropy
logs all of them; the default, 'source', none), and prints JSON: for each criterion, with and without the
mIoU on source, and for 'last', over the stages: the mean Spearman correlation with METRIC (default miou) on target val,
and how many points its choice is behind the best candidate in hindsight (mean and worst).
"""

import json
import pathlib
import sys

import numpy as np
from scipy import stats

from dakd_jax.evaluation.checkpoint_choice import CRITERIA
from dakd_jax.evaluation.logs import METRICS, read_rows

LEAST = 3  # candidates, below which a rank correlation says nothing


def rules(rows: list[dict]) -> dict[str, np.ndarray]:
    """The score of every candidate under each rule, float64 [n]."""
    source = np.array([row["source_miou"] for row in rows])
    found = {"last": np.array([float(row["step"]) for row in rows]), "source": source}
    for name in CRITERIA:
        values = np.array([row[f"target_{name}"] for row in rows])
        found |= {name: values, f"{name} + source": values + source}
    return found


def study(workdir: pathlib.Path, metric: str) -> dict:
    """{'stages': names, 'rules': {rule: figures}} of the stages below a workdir that see the target."""
    correlations: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    stages = []
    for path in sorted(workdir.glob(f"stages/*/{METRICS}")):
        rows = [row for row in read_rows(path) if row["kind"] == "eval" and f"target_{CRITERIA[0]}" in row]
        if len(rows) < LEAST:
            continue
        stages.append(path.parent.name)
        truth = 100 * np.array([row[metric] for row in rows])
        for name, scores in rules(rows).items():
            chosen = max(range(len(rows)), key=lambda i, s=scores: (s[i], i))  # of equal ones the last
            correlations.setdefault(name, []).append(float(stats.spearmanr(scores, truth).statistic))
            losses.setdefault(name, []).append(float(truth.max() - truth[chosen]))
    return {
        "stages": stages,
        "rules": {
            name: {
                "rank_correlation": round(float(np.nanmean(correlations[name])), 2),
                "points_lost": round(float(np.mean(losses[name])), 2),
                "most_points_lost": round(float(np.max(losses[name])), 2),
            }
            for name in losses
        },
    }


if __name__ == "__main__":
    print(json.dumps(study(pathlib.Path(sys.argv[1]), (sys.argv[2:] or ["miou"])[0]), indent=1))
