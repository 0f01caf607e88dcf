"""Figures of an attribution. Each takes it whole, and returns a matplotlib figure or None where there is nothing."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dakd_jax.studies.attribution import SEGMENTATION, TEACHER, Attribution, rates
from dakd_jax.studies.attribution.attribution_tables import SMALL_THINGS, ordered, relative_norms
from dakd_jax.studies.attribution.counting import BINS
from dakd_jax.studies.attribution.objects import SIZES
from dakd_jax.studies.kit.error_maps import BROKEN, REPAIRED
from dakd_jax.studies.kit.result_types import short_name
from dakd_jax.studies.kit.style import INK, legend_below, new_figure, stage_colour, write_percentages

# Repaired and broken as in the error maps; the lighter shades are what the teacher had no part in.
_FLOW = {
    "repaired": ("repaired, as the teacher", np.array(REPAIRED.rgb) / 255, 1),
    "repaired_alone": ("repaired, teacher wrong too", "#8fc3e6", 1),
    "inherited": ("broken, as the teacher", np.array(BROKEN.rgb) / 255, -1),
    "broken_otherwise": ("broken in another way", "#f7bf94", -1),
}
_NOTHING = "#ececec"  # cells without a pixel


def flow_figure(found: Attribution) -> Figure:
    """Per case and class: which share of the labelled pixels was repaired (right) and broken (left)."""
    labelled = found.networks[TEACHER].confusion.sum(axis=1)
    classes = np.flatnonzero(labelled)
    names = ["all", *(found.class_names[c] for c in classes)]
    figure, axes = new_figure(12, 0.27 * len(names) + 1.3, columns=len(found.cases))
    widest = 1.0
    for axis, case in zip(axes[0], found.cases, strict=True):
        ends = {1: np.zeros(len(names)), -1: np.zeros(len(names))}
        for key, share in rates.flow(found.networks[case]).items():
            _, colour, side = _FLOW[key]
            values = 100 * np.array([float(share.total().value), *share.value[classes]])
            axis.barh(range(len(names)), side * values, left=ends[side], color=colour, height=0.72)
            ends[side] = ends[side] + side * values
        widest = max(widest, *ends[1], *-ends[-1])
        axis.axvline(0, color=INK, lw=0.9)
        axis.set_title(short_name(case), fontsize=10, color=INK)
        axis.set_yticks(range(len(names)), names if axis is axes[0, 0] else [])
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("% of the class's pixels", fontsize=9)
        axis.grid(False, axis="y")
    for axis in axes[0]:
        axis.set(xlim=(-1.05 * widest, 1.05 * widest), ylim=(len(names) - 0.4, -0.6))
        axis.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    handles = [Patch(color=colour) for _, colour, _ in _FLOW.values()]
    texts = [text for text, _, _ in _FLOW.values()]
    figure.legend(handles, texts, loc="outside lower center", ncols=len(texts), frameon=False, fontsize=9)
    return figure


def agreement_figure(found: Attribution) -> Figure:
    """Networks x classes: agreement with the teacher where it is right, and where it is wrong."""
    networks = [name for name in ordered(found) if name != TEACHER]
    classes = np.flatnonzero(found.networks[TEACHER].confusion.sum(axis=1))
    titles = {
        "teacher_right": "Says the same, % of the pixels where the teacher is right",
        "teacher_wrong": "Makes the very same mistake, % of the pixels where the teacher is wrong",
    }
    figure, axes = new_figure(12, 2 * (0.34 * len(networks) + 0.55) + 1.2, rows=2)
    for axis, (key, title) in zip(axes[:, 0], titles.items(), strict=True):
        shares = [rates.agreement(found.networks[name])[key] for name in networks]
        values = 100 * np.array([[float(s.total().value), *s.value[classes]] for s in shares])
        names = ["all", *(found.class_names[c] for c in classes)] if key == "teacher_wrong" else []
        _heat_map(axis, values, list(map(short_name, networks)), names)
        axis.set_title(title, fontsize=10, color=INK)
    return figure


def _heat_map(axis, values: np.ndarray, rows: list[str], columns: list[str]) -> None:
    """Percentages [rows, columns] as numbers on shades of blue; NaN is grey. Without columns no names."""
    axis.grid(False)
    axis.set_facecolor(_NOTHING)
    axis.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axis.set_yticks(range(len(rows)), rows)
    slanted = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if max(map(len, columns), default=0) > 3 else {}
    )
    axis.set_xticks(range(len(columns)), columns, **slanted)
    axis.tick_params(length=0)
    write_percentages(axis, values, fontsize=8)


def reliability_figure(found: Attribution) -> Figure:
    """The teacher's quasi labels: precision over confidence, and by class and confidence."""
    quasi, confidence = found.networks[TEACHER].quasi, found.confidence
    share = rates.precision(quasi)
    right, whole = share.part.sum(axis=0), share.whole.sum(axis=0)
    classes = np.flatnonzero(share.whole.sum(axis=1))
    figure, axes = new_figure(12, 0.26 * len(classes) + 2.2, columns=2)
    axis, filled = axes[0, 0], whole > 0
    middle = (np.arange(BINS) + 0.5) / BINS
    axis.bar(middle, 100 * whole / max(whole.sum(), 1), 0.092, color="#d5dbe1", label="share of the pixels")
    axis.plot([0, 1], [0, 100], color="#888888", lw=1, ls="--", label="as sure as right")
    means = rates.Share(confidence.sum(axis=0), whole).value
    precision = 100 * rates.Share(right, whole).value
    axis.plot(means[filled], precision[filled], "o-", color=stage_colour(TEACHER), lw=1.8, label="precision")
    axis.set(xlabel="confidence of the teacher", ylabel="%", xlim=(0, 1), ylim=(0, 101))
    error = 100 * rates.calibration_error(quasi, confidence)
    axis.set_title(f"Quasi labels; expected calibration error {error:.1f} points", fontsize=10, color=INK)
    axis.legend(frameon=False, fontsize=8.5, loc="upper left")
    names = [found.class_names[c] for c in classes]
    _heat_map(axes[0, 1], 100 * share.value[classes], names, [f"{b / BINS:.1f}" for b in range(BINS)])
    axes[0, 1].set_title("Precision (%) by the label's class and confidence (from)", fontsize=10, color=INK)
    return figure


def over_training_figure(found: Attribution) -> Figure | None:
    """Students over their kept checkpoints beside the quasi labels; None where no student kept two."""
    if all(len(steps) < 2 for steps in found.over_training.values()):
        return None
    panels = {
        "says what the quasi label says": rates.quasi_agreement,
        "quasi label is right, where the student says another": rates.precision_where_disagreeing,
    }
    figure, axes = new_figure(12, 3.6, columns=2)
    for axis, (title, rate) in zip(axes[0], panels.items(), strict=True):
        for name in ordered(found):
            steps = sorted(found.over_training.get(name, {}))
            if not steps:
                continue
            values = [100 * float(rate(found.over_training[name][step]).total().value) for step in steps]
            axis.plot(steps, values, "o-", ms=4, lw=1.8, color=stage_colour(name), label=short_name(name))
        axis.set(xlabel="step of the checkpoint", ylabel="% of the pixels", ylim=(0, None))
        axis.locator_params(axis="x", integer=True)
        axis.set_title(title, fontsize=10, color=INK)
    legend_below(figure, *axes[0, 0].get_legend_handles_labels())
    return figure


def size_figure(found: Attribution) -> Figure:
    """Recall of pixels by the size of the object: all classes, and each of those that are easily missed."""
    panels = {"all classes": slice(None)}
    for name in SMALL_THINGS:
        if name in found.class_names:
            index = found.class_names.index(name)
            if found.networks[TEACHER].confusion[index].any():
                panels[name] = slice(index, index + 1)
    figure, axes = new_figure(12, 3.4, columns=len(panels))
    for axis, (title, chosen) in zip(axes[0], panels.items(), strict=True):
        for name in ordered(found):
            share = rates.pixel_recall(found.networks[name])
            recall = rates.Share(share.part[chosen].sum(axis=0), share.whole[chosen].sum(axis=0)).value
            axis.plot(
                range(len(SIZES)), 100 * recall, "o-", ms=4, lw=1.6, color=stage_colour(name), label=short_name(name)
            )
        axis.set_title(title, fontsize=10, color=INK)
        axis.set_xticks(range(len(SIZES)), SIZES)
        axis.set(xlim=(-0.3, len(SIZES) - 0.7), ylim=(0, 101))
    axes[0, 0].set_ylabel("% of the objects' pixels right")
    legend_below(figure, *axes[0, 0].get_legend_handles_labels())
    return figure


def gradient_figure(found: Attribution) -> Figure | None:
    """Per network: cosine of each term's gradient with the segmentation's, and how large it is; None without any."""
    shown = [
        name
        for name in ordered(found)
        if name in found.alignments and len(found.alignments[name].terms) > 1 and _told(found.alignments[name]).any()
    ]
    if not shown:
        return None
    terms = list(dict.fromkeys(t for name in shown for t in found.alignments[name].terms if t != SEGMENTATION))
    figure, axes = new_figure(12, 2 * (0.27 * len(terms) + 0.75) + 0.3, rows=2, columns=len(shown))
    for column, name in zip(axes.T, shown, strict=True):
        alignment, relative = found.alignments[name], relative_norms(found.alignments[name])
        told = _told(alignment)
        places = [(place, alignment.terms.index(t)) for place, t in enumerate(terms) if t in alignment.terms]
        at, rows = map(list, zip(*places, strict=True))
        for axis, values in ((column[0], alignment.cosine[rows][:, told]), (column[1], relative[rows][:, told])):
            deviation = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
            how = {"color": stage_colour(name), "ecolor": "#555555", "height": 0.62, "capsize": 2}
            axis.barh(at, values.mean(axis=1), xerr=deviation, **how)
            axis.set_yticks(range(len(terms)), terms if name == shown[0] else [])
            axis.set_ylim(len(terms) - 0.4, -0.6)
            axis.grid(False, axis="y")
        column[0].axvline(0, color=INK, lw=0.9)
        column[0].set_title(short_name(name), fontsize=10, color=INK)
        column[0].set_xlabel("cosine", fontsize=9)
        column[1].set_xlabel("norm / segmentation's", fontsize=9)
        column[1].set_xscale("log")
    _share_x_limits(axes)
    return figure


def _told(alignment) -> np.ndarray:
    """Batches whose segmentation gradient is not 0, as it is where nothing is labelled: bool [N]."""
    return alignment.norm[alignment.terms.index(SEGMENTATION)] > 0


def _share_x_limits(axes) -> None:
    """One scale for all networks: symmetric cosines in the first row, whole decades in the second."""
    reach = max(abs(bound) for axis in axes[0] for bound in axis.get_xlim())
    low = min(axis.get_xlim()[0] for axis in axes[1])
    high = max(axis.get_xlim()[1] for axis in axes[1])
    for axis in axes[0]:
        axis.set_xlim(-min(reach, 1.02), min(reach, 1.02))
    for axis in axes[1]:
        axis.set_xlim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
