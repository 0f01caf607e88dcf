"""Tables of an attribution: what was taken over, confused pairs, objects by size, quasi labels, gradients; and CSV."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dakd_jax.studies.attribution import SEGMENTATION, TEACHER, Attribution, rates
from dakd_jax.studies.attribution.counting import BINS
from dakd_jax.studies.attribution.objects import SIZES
from dakd_jax.studies.experiment.seeds import Spread
from dakd_jax.studies.kit.result_types import NOT_COMPARED, in_order, short_name
from dakd_jax.studies.kit.text_table import MISSING, Cell, TextTable, csv_text, number, number_cells

# What the supplement sees missed; shown in the short table of objects.
SMALL_THINGS = ("traffic light", "traffic sign", "person", "rider")
_PAIRS_OF_EACH = 3


def ordered(found: Attribution) -> list[str]:
    """Networks in the order of the report's tables."""
    return in_order(found.networks)


def _percent(share: rates.Share) -> float:
    return 100 * float(share.total().value)


def summary_table(found: Attribution) -> TextTable:
    """Students x what they took over from the teacher, in per cent of what there was to take."""
    rows = []
    for name in (name for name in ordered(found) if name != TEACHER):
        counts = found.networks[name]
        agreement = [number(_percent(share), 1) for share in rates.agreement(counts).values()]
        changes = [number(_percent(share), 1) for share in rates.transfer(counts).values()]
        net = number(net_gain(found, name), 1, signed=True)
        compared = [*changes, net] if name != found.reference else [MISSING] * (len(changes) + 1)
        rows.append((found.titles.get(name, name), *agreement, *compared))
    headers = ("network", "agrees", "t. right", "t. wrong", "repaired", "alone", "inherited", "broken", "net")
    caption = (
        "Per cent of labelled pixels. agrees: says what the teacher says; of the pixels where the teacher is right, "
        "and where it is wrong (the very same mistake). The others compare with "
        f"{found.titles.get(found.reference, found.reference)}: repaired, of the pixels that it had wrong and the "
        "teacher right; alone, of those that both had wrong; inherited, the teacher's very mistake, of the pixels that "
        "it had right and the teacher wrong; broken, of all that it had right. net: change of pixel accuracy, points."
    )
    return TextTable("What was taken over from the teacher", headers, rows, caption)


def net_gain(found: Attribution, name: str) -> float:
    """Pixel accuracy of a network minus that of the reference student, in points."""
    parts = {key: _percent(share) for key, share in rates.flow(found.networks[name]).items()}
    return parts["repaired"] + parts["repaired_alone"] - parts["inherited"] - parts["broken_otherwise"]


def confusion_table(found: Attribution) -> TextTable:
    """The paper's confused pairs and the most confused ones of each network x networks."""
    networks, names = ordered(found), found.class_names
    worst = {
        network: [one[:2] for one in rates.most_confused(found.networks[network], _PAIRS_OF_EACH)]
        for network in networks
    }
    paper = [tuple(map(names.index, pair)) for pair in rates.PAPER_PAIRS if set(pair) <= set(names)]
    labelled = found.networks[TEACHER].confusion.sum(axis=1)

    def value(network, pair) -> float:
        return float(rates.confusion_of(found.networks[network], *pair).share.value)

    others = sorted(set().union(*worst.values()) - set(paper), key=lambda pair: -value(found.reference, pair))
    rows = []
    for pair in [*(pair for pair in paper if labelled[pair[0]]), *others]:
        cells = (Cell(number(100 * value(network, pair), 1), best=pair in worst[network]) for network in networks)
        rows.append((f"{names[pair[0]]} as {names[pair[1]]}" + "*" * (pair in paper), *cells))
    caption = (
        "Per cent of the labelled pixels of the first class that were taken for the second. Bold: one of the "
        f"{_PAIRS_OF_EACH} most confused pairs of that network."
    )
    if any(row[0].endswith("*") for row in rows):
        caption += " *: discussed in the paper's supplement."
    return TextTable("Confused pairs", ("pair", *map(short_name, networks)), rows, caption)


def objects_table(found: Attribution, classes: Sequence[str] | None = SMALL_THINGS) -> TextTable:
    """(class, size) x networks: share of the objects that were found; None as `classes` takes all."""
    networks, rows = ordered(found), []
    shares = [rates.object_recall(found.networks[network]) for network in networks]
    rivals = [network not in NOT_COMPARED for network in networks]
    for (index, size), count in np.ndenumerate(shares[0].whole):
        name = found.class_names[index]
        if count and (classes is None or name in classes):
            values = [100 * float(share.value[index, size]) for share in shares]
            compared = [rival and value > 0 for rival, value in zip(rivals, values, strict=True)]
            rows.append((f"{name}, {SIZES[size]}", f"{count:,}", *number_cells(values, compared, 1)))
    caption = (
        "Per cent of the objects of which at least half the pixels are right. Size: share of the picture, "
        "tiny < 0.01 %, small < 0.1 %, medium < 1 %, large. Bold: best student that saw no target labels."
    )
    return TextTable("Objects found", ("class, size", "objects", *map(short_name, networks)), rows, caption)


def quasi_table(found: Attribution) -> TextTable:
    """Classes of the quasi labels x share of pixels, confidence, precision, and how often each case says the same."""
    quasi = found.networks[TEACHER].quasi
    right, sure = rates.precision(quasi), rates.precision(quasi[:, -1:])
    total = right.whole.sum()
    rows = []
    for index, name in enumerate([*found.class_names, "all"]):
        chosen = slice(None) if name == "all" else slice(index, index + 1)
        whole = right.whole[chosen].sum()
        if not whole:
            continue
        values = [
            100 * whole / total,
            100 * found.confidence[chosen].sum() / whole,
            _percent(rates.Share(right.part[chosen], right.whole[chosen])),
            _percent(rates.Share(sure.whole[chosen], whole)),
            _percent(rates.Share(sure.part[chosen], sure.whole[chosen])),
        ]
        values += [_percent(rates.quasi_agreement(found.networks[case].quasi[chosen])) for case in found.cases]
        rows.append((name, *(number(value, 1) for value in values)))
    headers = ("quasi label", "pixels", "confidence", "precision", "sure", "and right")
    caption = (
        "Per cent, over the labelled pixels of target val. sure: confidence of at least 0.9; and right: precision of "
        "those. The last columns: how often the finished case says what the quasi label says."
    )
    return TextTable("Quasi-teacher labels", (*headers, *map(short_name, found.cases)), rows, caption)


def gradient_table(found: Attribution) -> TextTable:
    """Network and term x cosine and relative norm, mean and deviation over batches."""
    rows = []
    for name in (name for name in ordered(found) if name in found.alignments):
        alignment, relative = found.alignments[name], relative_norms(found.alignments[name])
        for term, cosine, norm in zip(alignment.terms, alignment.cosine, relative, strict=True):
            if term != SEGMENTATION:
                cells = _spread(cosine).text(2, signed=True), _spread(norm).text(3)
                rows.append((f"{short_name(name)}, {term}", *cells))
    batches = max((alignment.cosine.shape[1] for alignment in found.alignments.values()), default=0)
    caption = (
        "Gradient of each weighted loss term beside that of the source segmentation, at the finished network, on "
        f"{batches} fixed training batches: mean ± standard deviation. A cosine above 0 pulls the same way."
    )
    return TextTable("Gradients", ("network, term", "cosine", "norm / segmentation's"), rows, caption)


def _spread(values: np.ndarray) -> Spread:
    return Spread.of(values[np.isfinite(values)])


def relative_norms(alignment) -> np.ndarray:
    """float64 [T, N]: norms over the segmentation's of the same batch; NaN where that is 0."""
    segmentation = alignment.norm[alignment.terms.index(SEGMENTATION)]
    return np.divide(alignment.norm, segmentation, out=np.full_like(alignment.norm, np.nan), where=segmentation > 0)


def counts_csv(found: Attribution) -> str:
    """Every share as one line: measure, network, class, detail, part, whole, per cent; empty wholes are left out."""
    lines = [("measure", "network", "class", "detail", "part", "whole", "percent")]
    for name in ordered(found):
        for measure, index, detail, share in _shares(found, name):
            if share.whole:
                percent = f"{100 * float(share.value):.4f}"
                lines.append((measure, name, found.class_names[index], detail, share.part, share.whole, percent))
    return csv_text(lines)


def _shares(found: Attribution, name: str) -> Iterator[tuple[str, int, str, rates.Share]]:
    """(measure, class index, detail, share) of a network."""
    counts = found.networks[name]
    for measure, shares in (("agreement", rates.agreement(counts)), ("changed", rates.transfer(counts))):
        for detail, share in shares.items():
            yield from _of_cells(measure, share, lambda detail=detail: detail)
    for one in rates.most_confused(counts, len(found.class_names) ** 2):
        yield "confused with", one.label, found.class_names[one.prediction], one.share
    yield from _of_cells("pixels right", rates.pixel_recall(counts), SIZES.__getitem__)
    yield from _of_cells("objects found", rates.object_recall(counts), SIZES.__getitem__)
    if name == TEACHER:
        yield from _of_bins("quasi label right", rates.precision(counts.quasi))
    else:
        yield from _of_quasi(counts.quasi)
    for step, quasi in sorted(found.over_training.get(name, {}).items()):
        yield from _of_quasi(quasi, f"step {step}, ")


def _of_quasi(quasi: np.ndarray, when: str = "") -> Iterator[tuple[str, int, str, rates.Share]]:
    """What a student makes of the quasi labels; `when` begins each detail."""
    yield from _of_bins("same as quasi label", rates.quasi_agreement(quasi), when)
    yield from _of_bins("quasi label right where another", rates.precision_where_disagreeing(quasi), when)


def _of_bins(measure: str, share: rates.Share, when: str = "") -> Iterator[tuple[str, int, str, rates.Share]]:
    """The shares [C, BINS] of each class and bin of confidence."""
    yield from _of_cells(measure, share, lambda b: f"{when}confidence {b / BINS:.1f} to {(b + 1) / BINS:.1f}")


def _of_cells(
    measure: str, share: rates.Share, detail: Callable[..., str]
) -> Iterator[tuple[str, int, str, rates.Share]]:
    """The shares of each class, [C] or [C, N]; `detail` names the second index."""
    for index in np.ndindex(*np.shape(share.whole)):
        yield measure, index[0], detail(*index[1:]), rates.Share(share.part[index], share.whole[index])


def gradients_csv(found: Attribution) -> str:
    """One line for each network, term and batch: cosine, and norm of the weighted term's gradient."""
    lines = [("network", "term", "batch", "cosine", "norm")]
    for name in ordered(found):
        if alignment := found.alignments.get(name):
            for (t, n), cosine in np.ndenumerate(alignment.cosine):
                lines.append((name, alignment.terms[t], n, _plain(cosine), _plain(alignment.norm[t, n])))
    return csv_text(lines)


def _plain(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
