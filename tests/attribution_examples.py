"""Small made-up attributions for the tests, and a slow way of finding objects."""

import numpy as np

from dakd_jax.studies.attribution import Alignment, Attribution, counting

NAMES = ("road", "wall <b>", "truck", "bus", "person")
C = len(NAMES)


def picture(seed, size=(13, 17)):
    """(label with void, teacher, confidence, {network: prediction}) at random; students are right half of the time."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, C, (size[0] // 3 + 1, size[1] // 3 + 1)).repeat(3, 0).repeat(3, 1)[: size[0], : size[1]]
    predictions = {
        name: np.where(rng.random(size) < right, label, rng.integers(0, C, size)).astype(np.uint8)
        for name, right in (("teacher", 0.7), ("student", 0.4), ("case_a", 0.6), ("case_d", 0.5))
    }
    label = np.where(rng.random(size) < 0.1, 255, label).astype(np.uint8)
    return label, rng.random(size).astype(np.float32), predictions


def attribution(pictures=2, steps=(2, 4), **fields):
    """Of random pictures, with curves over `steps` and two aligned networks."""
    networks, confidence, over_training = {}, 0, {}
    for seed in range(pictures):
        label, sure, predictions = picture(seed)
        truth = counting.truth(label, predictions["teacher"], sure, predictions["student"], C)
        for name, prediction in predictions.items():
            counts = counting.count(truth, prediction, C)
            networks[name] = networks[name] + counts if name in networks else counts
        confidence = confidence + counting.confidence_sums(truth, sure, C)
    if steps:
        over_training = {"case_a": dict.fromkeys(steps, networks["case_a"].quasi), "case_d": {}}
    rng = np.random.default_rng(0)
    terms = ("segmentation", "adversarial", "target KL")
    aligned = {name: Alignment(terms, rng.uniform(-1, 1, (3, 4)), rng.uniform(1, 2, (3, 4))) for name in networks}
    defaults = {
        "class_names": NAMES,
        "titles": {name: f"Title of {name}" for name in networks},
        "reference": "student",
        "cases": ("case_a", "case_d"),
        "pictures": pictures,
        "networks": networks,
        "confidence": confidence,
        "over_training": over_training,
        "alignments": {name: aligned[name] for name in ("student", "case_d")},
        "notes": ("A & B <script>",),
    }
    return Attribution(**{**defaults, **fields})


def slow_objects(label, instances=None):
    """List of (class, sorted pixels), by flooding from pixel to pixel."""
    height, width = label.shape
    numbered = {}
    for y in range(height):
        for x in range(width):
            if label[y, x] < C and instances is not None and instances[y, x] > 0:
                numbered.setdefault((int(label[y, x]), int(instances[y, x])), []).append((y, x))
    taken = {pixel for pixels in numbered.values() for pixel in pixels}
    found = [(c, sorted(pixels)) for (c, _), pixels in numbered.items()]
    for y in range(height):
        for x in range(width):
            if label[y, x] >= C or (y, x) in taken:
                continue
            c, waiting, pixels = int(label[y, x]), [(y, x)], []
            taken.add((y, x))
            while waiting:
                at = waiting.pop()
                pixels.append(at)
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        near = (at[0] + dy, at[1] + dx)
                        inside = 0 <= near[0] < height and 0 <= near[1] < width
                        if inside and near not in taken and label[near] == c:
                            taken.add(near)
                            waiting.append(near)
            found.append((c, sorted(pixels)))
    return found
