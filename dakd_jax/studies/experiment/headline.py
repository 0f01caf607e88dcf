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
    percent = {result.name: experiment.percent(result.name) for result in experiment.results}
    percent = {name: value for name, value in percent.items() if value is not None}
    results = [result for result in experiment.ordered() if result.name in percent]

    def best(names) -> StageResult | None:
        there = [result for result in results if result.name in names]
        return max(there, key=lambda result: percent[result.name], default=None)

    case, undistilled = best(CASES), best(("student", "student_continued"))
    winner = best(percent.keys() - set(NOT_COMPARED)) or best(percent)
    sentences = (
        *_adaptation(percent),
        *_teacher(percent, undistilled),
        *_distillation(percent, case, undistilled),
        *_continued(percent),
        *_supervised(percent, winner),
    )
    if winner:
        verdict = _verdict(percent, METRIC_NAMES[experiment.metric], winner, case, undistilled)
    elif experiment.results and not any(result.confusion.any() for result in experiment.results):
        verdict = metrics.NOTHING_TO_SCORE
    else:
        verdict = "No network has been scored yet."
    return Headline(verdict, sentences, _tiles(percent, case))


def _verdict(percent, metric, winner, case, undistilled) -> str:
    value = f"{_percent(percent[winner.name])} {metric}"
    if case is None or undistilled is None:
        return f"{_subject(winner)} is best: {value} on the target domain."
    gain = percent[case.name] - percent[undistilled.name]
    if winner.name == "source_only":
        return f"Neither adaptation nor distillation helped: source only is best with {value}."
    if gain >= NOISE_POINTS:
        return (
            f"{_subject(case)} wins: {value} on the target domain, "
            f"{gain:.1f} points above the best student without a teacher."
        )
    if gain > -NOISE_POINTS:
        return (
            f"Distillation made no clear difference: the best case, {case.short_name}, reaches "
            f"{_percent(percent[case.name])}, {_points(gain)} the best student without a "
            "teacher, which one run cannot tell from chance."
        )
    return (
        f"Distillation did not help here: {_name(winner)} is best with {value}; the best distilled case, "
        f"{case.short_name}, is {_points(gain)} it."
    )


def _adaptation(percent) -> list[str]:
    if not {"source_only", "student"} <= percent.keys():
        return []
    before, after = percent["source_only"], percent["student"]
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


def _teacher(percent, undistilled) -> list[str]:
    if "teacher" not in percent or undistilled is None:
        return []
    teacher = percent["teacher"]
    lead = teacher - percent[undistilled.name]
    if lead < NOISE_POINTS:
        return [
            f"The teacher reaches {_percent(teacher)}, {_points(lead)} the best student without a teacher: "
            "it had little to teach."
        ]
    return [
        f"The teacher reaches {_percent(teacher)} and leads the best student without a teacher by {lead:.1f} points."
    ]


def _distillation(percent, case, undistilled) -> list[str]:
    if case is None or undistilled is None:
        return []
    reference, value = percent[undistilled.name], percent[case.name]
    said = [
        f"The best distilled student is {_name(case)} with {_percent(value)}, "
        f"{_points(value - reference)} {_name(undistilled)}."
    ]
    if "case_d" in percent and case.name != "case_d":
        final = percent["case_d"]
        said.append(
            f"Case (d), the paper's last step, reaches {_percent(final)}, {_points(final - reference)} "
            f"{_name(undistilled)}; picking the best case after the fact favours it."
        )
    return said


def _continued(percent) -> list[str]:
    if not {"student_continued", "case_d"} <= percent.keys():
        return []
    longer = percent["student_continued"]
    return [
        f"Trained on for as many steps without a teacher, the student reaches {_percent(longer)}; "
        f"case (d) is {_points(percent['case_d'] - longer)} that."
    ]


def _supervised(percent, winner) -> list[str]:
    if "target_supervised" not in percent or winner.name == "target_supervised":
        return []
    bound = percent["target_supervised"]
    gap = percent[winner.name] - bound
    return [f"The same network trained on target labels reaches {_percent(bound)}; the best is {_points(gap)} that."]


def _tiles(percent, case) -> tuple[Tile, ...]:
    """Source only -> adapted -> distilled -> teacher, those that there are, each beside what it builds on."""
    references = {"": "", "source_only": "source only", "student": "adapted student"}
    shown = (
        ("source only", "source_only", ""),
        ("adapted student", "student", "source_only"),
        *([(f"best distilled: {case.short_name}", case.name, "student")] if case else []),
        ("teacher (larger)", "teacher", "student"),
        ("with target labels", "target_supervised", ""),
    )
    return tuple(
        Tile(label, percent[name], percent[name] - percent[of] if of in percent else None, references[of])
        for label, name, of in shown
        if name in percent
    )


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
