"""What each stage needs, and the order in which a goal is reached."""

import pytest

from dakd_jax.objectives import paradigms
from dakd_jax.objectives.paradigms import STAGES, needs, plan, stage


def test_case_d_brings_the_teacher_and_case_c():
    assert plan(("case_d",)) == ("teacher", "case_c", "case_d")


@pytest.mark.parametrize("name", ["source_only", "target_supervised", "student", "teacher"])
def test_stages_without_parents_come_alone(name):
    assert plan((name,)) == (name,)
    assert needs(name) == ()


@pytest.mark.parametrize("init_from", ["", "student"])
def test_every_stage_comes_once_and_after_what_it_needs(init_from):
    order = plan(tuple(reversed(STAGES)), init_from)
    assert sorted(order) == sorted(STAGES)
    for position, name in enumerate(order):
        assert set(needs(name, init_from)) <= set(order[:position])


def test_the_order_of_a_goal_is_kept():
    assert plan(("student", "source_only")) == ("student", "source_only")
    assert plan(("case_b", "case_a")) == ("teacher", "case_b", "case_a")


def test_starting_from_the_student_brings_the_student_trained_on():
    order = plan(("case_a", "case_d"), "student")
    assert set(order) == {"student", "student_continued", "teacher", "case_a", "case_c", "case_d"}
    assert order.index("student") < order.index("student_continued")
    assert {name: stage(name, "student").start for name in order} == {
        "student": "",
        "student_continued": "student",
        "teacher": "",
        "case_a": "student",
        "case_c": "student",
        "case_d": "case_c",
    }
    assert plan(("source_only", "teacher"), "student") == ("source_only", "teacher")


def test_without_it_all_fresh_cases_start_from_the_trunk():
    assert {stage(name).start for name in paradigms.FRESH_CASES} == {""}


def test_the_paper_s_table_of_paradigms():
    domains = {name: (s.distil_source, s.distil_target) for name, s in STAGES.items() if s.distils}
    assert domains == {
        "case_a": (True, False),
        "case_b": (False, True),
        "case_c": (True, True),
        "case_d": (False, True),
    }
    assert all(STAGES[name].adapt for name in domains)
    assert [name for name, s in STAGES.items() if s.network == "teacher"] == ["teacher"]
    assert [name for name, s in STAGES.items() if s.labelled == "target"] == ["target_supervised"]
    assert not STAGES["source_only"].adapt and not STAGES["target_supervised"].adapt
