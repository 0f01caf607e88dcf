"""The answer of an experiment in plain words, also when the answer is that something did not help."""

import dataclasses

from dakd_jax.evaluation import metrics
from dakd_jax.studies.kit.result_types import CASES, METRIC_NAMES, NOT_COMPARED, ExperimentResults, StageResult

# Two seeds of one small benchmark differ by about this much, so one run cannot tell smaller gaps from chance.
NOISE_POINTS = 1.0


@dataclasses.dataclass(frozen=True)
class Tile:
    """One big number: per cent, and how many points above or below a named reference."""

    label: str
    percent: float
    change: float | None = None
    reference: str = ""


@dataclasses.dataclass(frozen=True)
class Headline:
    """`verdict`: the answer in one sentence; `sentences`: its numbers; `tiles`: them at a glance."""

    verdict: str
    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]


def headline(experiment: ExperimentResults) -> Headline:
    """Reads an experiment as source-only -> adapted -> distilled, with whichever of them it has."""
    cases = [result for result in experiment.ordered(CASES) if result.name in CASES]
    best_case = _best(experiment, cases)
    undistilled = _best(experiment, [r for r in experiment.results if r.name in ("student", "student_continued")])
    rivals = [result for result in experiment.ordered() if result.name not in NOT_COMPARED]
    winner = _best(experiment, rivals) or _best(experiment, experiment.ordered())
    sentences = (
        *_adaptation(experiment),
        *_teacher(experiment, undistilled),
        *_distillation(experiment, best_case, undistilled),
        *_continued(experiment),
        *_supervised(experiment, winner),
    )
    verdict = _verdict(experiment, winner, best_case, undistilled)
    return Headline(verdict, sentences, _tiles(experiment, best_case))


def _best(experiment: ExperimentResults, results) -> StageResult | None:
    scored = [result for result in results if experiment.percent(result.name) is not None]
    return max(scored, key=lambda result: experiment.percent(result.name), default=None)


def _verdict(experiment, winner, best_case, undistilled) -> str:
    if winner is None:
        if experiment.results and not any(result.confusion.any() for result in experiment.results):
            return metrics.NOTHING_TO_SCORE
        return "No network has been scored yet."
    value = f"{_percent(experiment.percent(winner.name))} {METRIC_NAMES[experiment.metric]}"
    if best_case is None or undistilled is None:
        return f"{_subject(winner)} is best: {value} on the target domain."
    gain = experiment.percent(best_case.name) - experiment.percent(undistilled.name)
    if winner.name == "source_only":
        return f"Neither adaptation nor distillation helped: source only is best with {value}."
    if gain >= NOISE_POINTS:
        return (
            f"{_subject(best_case)} wins: {value} on the target domain, "
            f"{gain:.1f} points above the best student without a teacher."
        )
    if gain > -NOISE_POINTS:
        return (
            f"Distillation made no clear difference: the best case, {best_case.short_name}, reaches "
            f"{_percent(experiment.percent(best_case.name))}, {_points(gain)} the best student without a "
            "teacher, which one run cannot tell from chance."
        )
    return (
        f"Distillation did not help here: {_name(winner)} is best with {value}; the best distilled case, "
        f"{best_case.short_name}, is {_points(gain)} it."
    )


def _adaptation(experiment) -> list[str]:
    before, after = experiment.percent("source_only"), experiment.percent("student")
    if before is None or after is None:
        return []
    gain = after - before
    if gain < NOISE_POINTS:
        return [
            f"Trained on the source domain alone, the student reaches {_percent(before)}; adapted to the "
            f"target domain it reaches {_percent(after)}, so adaptation did not clearly help "
            f"({gain:+.1f} points)."
        ]
    return [
        f"Trained on the source domain alone, the student reaches {_percent(before)}. Adapted to the target "
        f"domain, without any target label, it reaches {_percent(after)} ({gain:+.1f} points)."
    ]


def _teacher(experiment, undistilled) -> list[str]:
    teacher = experiment.percent("teacher")
    if teacher is None or undistilled is None:
        return []
    lead = teacher - experiment.percent(undistilled.name)
    if lead < NOISE_POINTS:
        return [
            f"The teacher reaches {_percent(teacher)}, {_points(lead)} the best student without a teacher: "
            "it had little to teach."
        ]
    return [
        f"The teacher reaches {_percent(teacher)} and leads the best student without a teacher by {lead:.1f} points."
    ]


def _distillation(experiment, best_case, undistilled) -> list[str]:
    if best_case is None or undistilled is None:
        return []
    reference = experiment.percent(undistilled.name)
    value = experiment.percent(best_case.name)
    said = [
        f"The best distilled student is {_name(best_case)} with {_percent(value)}, "
        f"{_points(value - reference)} {_name(undistilled)}."
    ]
    final = experiment.percent("case_d")
    if final is not None and best_case.name != "case_d":
        said.append(
            f"Case (d), the paper's last step, reaches {_percent(final)}, {_points(final - reference)} "
            f"{_name(undistilled)}; picking the best case after the fact favours it."
        )
    return said


def _continued(experiment) -> list[str]:
    longer, final = experiment.percent("student_continued"), experiment.percent("case_d")
    if longer is None or final is None:
        return []
    return [
        f"Trained on for as many steps without a teacher, the student reaches {_percent(longer)}; "
        f"case (d) is {_points(final - longer)} that."
    ]


def _supervised(experiment, winner) -> list[str]:
    bound = experiment.percent("target_supervised")
    if bound is None or winner is None or winner.name == "target_supervised":
        return []
    gap = experiment.percent(winner.name) - bound
    return [f"The same network trained on target labels reaches {_percent(bound)}; the best is {_points(gap)} that."]


def _tiles(experiment, best_case) -> tuple[Tile, ...]:
    """Source only -> adapted -> distilled -> teacher, those that there are."""
    source, student = experiment.percent("source_only"), experiment.percent("student")
    teacher, supervised = experiment.percent("teacher"), experiment.percent("target_supervised")
    tiles = []
    if source is not None:
        tiles.append(Tile("source only", source))
    if student is not None:
        change = None if source is None else student - source
        tiles.append(Tile("adapted student", student, change, "source only"))
    if best_case is not None:
        value = experiment.percent(best_case.name)
        change = None if student is None else value - student
        tiles.append(Tile(f"best distilled: {best_case.short_name}", value, change, "adapted student"))
    if teacher is not None:
        change = None if student is None else teacher - student
        tiles.append(Tile("teacher (larger)", teacher, change, "adapted student"))
    if supervised is not None:
        tiles.append(Tile("with target labels", supervised))
    return tuple(tiles)


def _percent(value: float) -> str:
    return f"{value:.1f}\u00a0%"  # a space that keeps the sign on the line of its number


def _points(difference: float) -> str:
    """ "1.2 points above", "0.4 points below" or "level with"."""
    if round(abs(difference), 1) == 0:
        return "level with"
    return f"{abs(difference):.1f} points {'above' if difference > 0 else 'below'}"


def _name(result: StageResult) -> str:
    names = {
        "source_only": "the source-only student",
        "student": "the adapted student",
        "student_continued": "the adapted student trained on",
        "teacher": "the teacher",
        "target_supervised": "the network trained on target labels",
    }
    return names.get(result.name) or (f"case {result.short_name}" if result.name in CASES else result.title)


def _subject(result: StageResult) -> str:
    name = _name(result)
    return name[:1].upper() + name[1:]
