"""The networks of an experiment as data: what each one learns from, and what it needs first.

Cases (a) to (d) are the paper's four paradigms (section 3.3). In every one of them the source segmentation loss and
the adversarial loss stay on.
"""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Stage:
    """One network to be trained.

    Attributes:
      title: for people.
      network: 'student' or 'teacher'.
      labelled: the domain whose labels are used.
      adapt: adversarial alignment to the unlabelled target.
      distil_source, distil_target: domains on which the frozen teacher is copied.
      start: stage whose weights and batch statistics it starts from; '' = the network's trunk. Optimisers,
        schedules and discriminators are new in every stage.
    """

    title: str
    network: str = "student"
    labelled: str = "source"
    adapt: bool = True
    distil_source: bool = False
    distil_target: bool = False
    start: str = ""

    @property
    def distils(self) -> bool:
        """Whether the stage has a teacher."""
        return self.distil_source or self.distil_target


STAGES = {
    "source_only": Stage("Student, source only", adapt=False),
    "target_supervised": Stage("Student, supervised on target", labelled="target", adapt=False),
    "student": Stage("Student, adapted"),
    "teacher": Stage("Teacher, adapted", network="teacher"),
    "student_continued": Stage("Student, adapted, trained on", start="student"),
    "case_a": Stage("(a) distilled on source", distil_source=True),
    "case_b": Stage("(b) distilled on target", distil_target=True),
    "case_c": Stage("(c) distilled on both", distil_source=True, distil_target=True),
    "case_d": Stage("(d) on target, from (c)", distil_target=True, start="case_c"),
}

# Cases that start from the trunk, or from the adapted student with student.init_from='student'.
FRESH_CASES = ("case_a", "case_b", "case_c")


def stage(name: str, init_from: str = "") -> Stage:
    """The stage called `name`, with fresh cases started from `init_from` ('' or 'student')."""
    found = STAGES[name]
    return dataclasses.replace(found, start=init_from) if name in FRESH_CASES else found


def needs(name: str, init_from: str = "") -> tuple[str, ...]:
    """Stages that must be finished before `name`."""
    found = stage(name, init_from)
    return (("teacher",) if found.distils else ()) + ((found.start,) if found.start else ())


def plan(goal: tuple[str, ...], init_from: str = "") -> tuple[str, ...]:
    """All stages of a goal in an order in which each comes after what it needs.

    Cases that start from the adapted student bring 'student_continued' with them: the undistilled student trained
    for as many steps, without which the comparison would favour the cases.
    """
    goal = tuple(goal)
    if init_from and any(name in FRESH_CASES + ("case_d",) for name in goal):
        goal = ("student_continued", *goal)
    ordered: list[str] = []

    def visit(name):
        for needed in needs(name, init_from):
            visit(needed)
        if name not in ordered:
            ordered.append(name)

    for name in goal:
        visit(name)
    return tuple(ordered)


def needed(goal: tuple[str, ...], init_from: str, replaced: Mapping[str, str]) -> list[str]:
    """The plan of a goal without stages that only a replaced one needed.

    Args:
      replaced: stage name -> the checkpoint that takes its place, '' for none.
    """
    order, found = plan(goal, init_from), set()

    def visit(name):
        found.add(name)
        if not replaced.get(name):
            for parent in needs(name, init_from):
                visit(parent)

    for name in set(goal) | ({"student_continued"} & set(order)):
        visit(name)
    return [name for name in order if name in found]
