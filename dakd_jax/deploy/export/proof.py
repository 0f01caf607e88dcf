"""Whether an export says what its network says: golden pairs, pictures, labels."""

import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.export import artefact
from dakd_jax.deploy.export.artefact import Artefact, Pair
from dakd_jax.deploy.export.program import LABELS
from dakd_jax.deploy.loaded import LoadedNetwork
from dakd_jax.evaluation import metrics, predict
from dakd_jax.stages import weights

CLASSES = 5  # that a golden pair shows, where the network knows as many
EXPORTS = "exports"  # folder of a run
LEAST = 0.999  # agreement in float32
SLACK = 0.01  # of agreement, for another machine's arithmetic below float32

Runner = Callable[[np.ndarray], dict[str, np.ndarray]]


def reference(network: LoadedNetwork, picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: what evaluation says of a picture uint8 [H, W, 3] that is the network's input as it is."""
    variables, size = network.variables, picture.shape[:2]
    return np.asarray(predict.predict(variables, picture[None], model=network.model, size=size))[0]


def golden_pair(network: LoadedNetwork, candidates: Iterable[np.ndarray]) -> Pair:
    """The first picture on which the network sees CLASSES classes, or all it knows; else that with the most."""
    wanted, best, most = min(CLASSES, len(network.classes)), None, 0
    for picture in candidates:
        labels = reference(network, picture)
        if (found := len(np.unique(labels))) > most:
            best, most = Pair(picture, labels), found
        if most >= wanted:
            break
    return best


def generated(size: tuple[int, int], count: int = 8) -> Iterator[np.ndarray]:
    """Pictures uint8 [height, width, 3] of coloured blocks, large and small; size: (height, width)."""
    height, width = size
    for seed in range(count):
        rng = np.random.default_rng(seed)
        cells = 2 ** (1 + seed % 4)
        coarse = rng.integers(0, 256, (cells, 2 * cells, 3), dtype=np.uint8)
        rows, columns = np.arange(height) * cells // height, np.arange(width) * 2 * cells // width
        noise = rng.integers(-16, 17, (height, width, 3))
        yield np.clip(coarse[rows][:, columns] + noise, 0, 255).astype(np.uint8)


def agreement(run: Runner, pairs: Iterable[Pair]) -> float:
    """Share of pixels of which an export says what their labels say."""
    found = [labels_of(run, pair.picture) == pair.labels for pair in pairs]
    return float(sum(map(np.sum, found)) / sum(map(np.size, found)))


def labels_of(run: Runner, picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of a picture uint8 [H, W, 3]."""
    return np.asarray(run(np.ascontiguousarray(picture)[None])[LABELS])[0]


class Scored(NamedTuple):
    """An export beside its network on pictures.

    Attributes:
      pictures: how many.
      agreement: share of pixels, None without pictures.
      miou: {'network', 'export': percent} where there were labels.
    """

    pictures: int
    agreement: float | None
    miou: dict[str, float] | None


def scored(network: LoadedNetwork, run: Runner, pictures: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Scored:
    """Compares on (picture uint8 [H, W, 3], labels uint8 [H, W] with 255 for ignored, or None)."""
    equal = pixels = count = 0
    classes = len(network.classes)
    confusions = {name: np.zeros((classes, classes), np.int64) for name in ("network", "export")}
    for picture, truth in pictures:
        said = {"network": reference(network, picture), "export": labels_of(run, picture)}
        equal, pixels = equal + int(np.sum(said["network"] == said["export"])), pixels + said["network"].size
        count += 1
        if truth is not None:
            for name, labels in said.items():
                confusions[name] += np.asarray(_confusion(truth[None], labels[None], num_classes=classes), np.int64)
    labelled = confusions["network"].any()
    miou = {name: round(100 * metrics.scores(one).miou, 3) for name, one in confusions.items()} if labelled else None
    return Scored(count, equal / pixels if pixels else None, miou)


_confusion = jax.jit(metrics.confusion_matrix, static_argnames=("num_classes",))


def least(dtype: str, stated: float) -> float:
    """Agreement on the golden pairs that an export must have."""
    return LEAST if dtype == "float32" else max(0.0, stated - SLACK)


def check(made: Artefact, *, trust: bool = False) -> float:
    """Agreement on the golden pairs, in the artefact's own runtime.

    Raises:
      UserError: it is below what the export promises, or the runtime cannot run it.
    """
    run, record = made.runner(trust=trust), made.record
    try:
        found = agreement(run, made.pairs())
    except Exception as error:  # whatever a runtime raises of a file that it cannot run
        raise UserError(
            f"{made.path}: {record['format']}'s runtime cannot run it ({error}); export it again"
        ) from error
    promised = least(record["dtype"], record["golden"]["agreement"])
    if found < promised:
        raise UserError(
            f"{made.path}: on its golden pair {found:.3%} of the labels are the network's, and {promised:.3%} were "
            f"promised; this machine's {record['format']} computes otherwise than that which exported it"
        )
    return found


def problems(workdir: pathlib.Path) -> Iterator[tuple[str, str]]:
    """(name, what is wrong with it or '') of all that lies in a run's folder EXPORTS; code of others is not run."""
    of_run = {weights.hash_file(str(folder / weights.FILE)) for folder, _ in weights.finished(workdir)}
    for path in sorted((workdir / EXPORTS).iterdir()):
        if path.name.startswith("."):
            continue
        try:
            found = artefact.read(path)
            of_this_run = found.record["network"]["weights"] in of_run
            if found.may_run():
                check(found)
            yield path.name, "" if of_this_run else "is of weights that no finished stage of this run has"
        except UserError as error:
            yield path.name, str(error)
