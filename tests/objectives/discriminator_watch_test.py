"""When a discriminator is said to have won or to guess, and when nothing is said."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from dakd_jax.objectives.adaptation import adversarial
from dakd_jax.objectives.adaptation.adversarial import CHANCE, DiscriminatorWatch

LONG = 200  # a fifth of the 1000 rows of these runs


def row(main, auxiliary=0.5, kind="vanilla"):
    """A logged row with both halves of each level's loss at a share of chance; a pair gives (source, target)."""
    values = {"loss/target/total": 1.0}
    for level, share in {"main": main, "auxiliary": auxiliary}.items():
        for domain, half in zip(("source", "target"), np.broadcast_to(share, 2), strict=True):
            values[f"loss/discriminator/{domain}_{level}"] = half * CHANCE[kind]
    return values


def said(rows, kind="vanilla", in_all=1000):
    """[(number of the row, line)] of a run of these rows."""
    watch = DiscriminatorWatch(kind, in_all)
    return [(number, line) for number, values in enumerate(rows, 1) for line in watch.add(values)]


def test_chance_is_the_loss_of_one_that_cannot_tell():
    for kind, output in (("vanilla", 0.0), ("least_squares", 0.5)):
        for domain in (adversarial.SOURCE_LABEL, adversarial.TARGET_LABEL):
            half = 0.5 * adversarial.JUDGES[kind](jnp.full((3, 4), output), domain)
            assert float(half) == pytest.approx(CHANCE[kind], rel=1e-6)


@pytest.mark.parametrize("kind", CHANCE)
@pytest.mark.parametrize(("share", "phrase"), [(0.02, "main discriminator has won"), (1.0, "main discriminator only")])
def test_it_is_said_once_after_a_fifth_of_the_run(kind, share, phrase):
    ((number, line),) = said([row(share, kind=kind)] * 1000, kind)
    assert number == LONG and phrase in line and "\n" not in line and "adversarial_main" in line


def test_each_level_is_told_apart():
    lines = [line for _, line in said([row(0.01, (1.0, 0.99))] * LONG)]
    assert [line.split()[1:4] for line in lines] == [
        ["auxiliary", "discriminator", "only"],
        ["main", "discriminator", "has"],
    ]


def test_a_run_that_starts_at_chance_and_learns_says_nothing():
    assert said([row(1.0)] * (LONG - 30) + [row(0.6)] * 800) == []


def test_single_rows_that_differ_break_no_spell_but_many_do():
    def spell(every):
        return [row(0.9 if number % every == 0 else 0.01) for number in range(1, 1001)]

    assert [number for number, _ in said(spell(11))] == [LONG]
    assert said(spell(9)) == []


@pytest.mark.parametrize("share", [0.06, 0.5, (1.3, 0.7), (0.0, 2.0), (0.94, 1.0), (1.0, 1.06), 1.5])
def test_between_the_two_and_lopsided_rows_are_silent(share):
    """One half up and the other down is no guessing: the discriminator leans, and is on its way."""
    assert said([row(share)] * 1000) == []


def test_short_runs_are_too_short_to_judge():
    assert said([row(0.0)] * 19, in_all=19) == []
    assert len(said([row(0.0)] * 20, in_all=20)) == 1


def test_rows_without_numbers_do_not_count():
    bad = row(0.01) | {"loss/discriminator/source_main": None}
    nan = row(0.01) | {"loss/discriminator/target_main": float("nan")}
    rows = [row(0.01), bad, nan, {"loss/source/total": 1.0}] * LONG
    assert [number for number, _ in said(rows)] == [4 * (LONG - 1) + 1]


def test_one_can_win_and_guess_later():
    assert [n for n, _ in said([row(0.0)] * 300 + [row(1.0)] * 300)] == [LONG, 300 + round(0.9 * LONG)]


def test_the_advice_names_fields_that_there_are():
    config = base.get_config()
    lines = [line for share in (0.0, 1.0) for _, line in said([row(share, share)] * LONG)]
    named = {name for line in lines for name in re.findall(r"--config\.([\w.]+\w)", line)}
    assert {"optim.discriminator_learning_rate", "loss.adversarial_main", "loss.adversarial_auxiliary"} <= named
    for name in named:
        group, field = name.split(".")
        assert field in config[group]
