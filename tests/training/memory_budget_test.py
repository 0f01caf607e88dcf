"""Savings of memory: the numbers stay, the compiled step needs less, and a budget chooses among them and says so."""

import dataclasses
import functools
import itertools
import math

import jax
import numpy as np
import pytest
import step_parts
import tiny_runs

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.models import segmenter
from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.objectives import optimizers
from dakd_jax.training.runtime import memory_budget
from dakd_jax.training.step import strips, train_step
from dakd_jax.training.step.options import COMPILER_OPTIONS, Savings, StepModels
from dakd_jax.training.watch import device_memory

PLAIN, STRIPS = Savings(False), Savings(True)
ORDERED, OUTPUTS, BLOCKS = Savings(True, True), Savings(True, True, True), Savings(True, True, True, True)
PARTS = BLOCKS._replace(parts=2)
SIZE = (48, 80)


@pytest.fixture(scope="module")
def models():
    model = Segmenter(arch="tiny", num_classes=19)
    return StepModels(model, model)


def _batch(count=2):
    rng = np.random.default_rng(0)
    pictures = {f"{domain}_image": rng.integers(0, 256, (count, *SIZE, 3), np.uint8) for domain in ("source", "target")}
    return pictures | {"source_label": rng.integers(0, 19, (count, *SIZE), np.uint8)}


@pytest.fixture(scope="module")
def step(models):
    """(savings, statistics) to (compiled losses_and_gradients, its arguments), each compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "LARGEST", 2**14)
        yield functools.cache(functools.partial(_step, models))


def _step(models, savings, statistics):
    options = step_parts.options(discriminator=Discriminator(width=0.25), student_statistics=statistics)
    options = dataclasses.replace(options, savings=savings)
    student, teacher = (segmenter.init_segmenter(of, 0, "student") for of in (models.segmenter, models.teacher))
    own, optimizer = step_parts.discriminators(Discriminator(width=0.25), 0, 19), optimizers.SegmenterOptimizer()
    state = step_parts.create(student, own, optimizer=optimizer)
    given = state, teacher, _batch(), step_parts.weights(distil_source=1.0, distil_target=1.0)

    def found(*given):
        found = train_step.losses_and_gradients(*given, models=models, options=options)
        return found._replace(batch={}, outputs={name: of.log_probs for name, of in found.outputs.items()})

    return jax.jit(found).lower(*given).compile(COMPILER_OPTIONS if savings.ordered else None), given


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_the_numbers_stay(step, statistics):
    plain, given = step(PLAIN, statistics)
    expected = plain(*given)
    for savings in (STRIPS, ORDERED, OUTPUTS, BLOCKS, *[PARTS] * (statistics == "running")):
        jax.tree.map(_assert_near, step(savings, statistics)[0](*given), expected)


def _assert_near(a, b):
    """Within float32's rounding of sums over all pixels."""
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9 + 1e-5 * np.abs(b).max())


def test_each_saving_needs_less(step):
    """By the compiler's own plan; of a network of so few blocks these are nothing."""
    needs = [
        step(savings, "running")[0].memory_analysis().temp_size_in_bytes
        for savings in (PLAIN, STRIPS, ORDERED, OUTPUTS, PARTS)
    ]
    assert all(less < 0.9 * more for more, less in itertools.pairwise(needs)), needs


@pytest.mark.parametrize(
    "arch, widest", [("tiny", 8), ("resnet18", 512), ("efficientnet_lite0", 320), ("drn_d_22", 512)]
)
def test_of_a_trunk_what_its_blocks_give_stays(arch, widest):
    """All features but the stem's, and nothing as wide as what is within an inverted bottleneck."""
    model = Segmenter(arch=arch, num_classes=5)
    variables = segmenter.blank_segmenter(model)

    def run(pictures):
        return segmenter.forward(model, variables, pictures, statistics="batch")[0]

    pictures = jax.ShapeDtypeStruct((2, 64, 96, 3), np.uint8)
    (again,) = jax.make_jaxpr(segmenter.block_by_block(run))(pictures).eqns
    named = [one.outvars[0].aval.shape for one in again.params["jaxpr"].eqns if one.primitive.name == "name"]
    features = jax.eval_shape(run, pictures).features
    assert {of.shape for name, of in features.items() if name != "stem"} <= set(named)
    assert max(shape[-1] for shape in named) == widest
    assert "name=block" not in str(jax.make_jaxpr(run)(pictures))


def test_a_trunk_needs_less_where_its_blocks_run_again():
    """By the compiler's own plan, of the gradient of a network whose blocks are several layers each."""
    model = Segmenter(arch="resnet18", num_classes=5, width=0.125)
    variables, pictures = segmenter.blank_segmenter(model), np.zeros((2, 128, 192, 3), np.uint8)

    def needed(wrapped):
        def loss(params):
            own = variables | {"params": params}
            run = wrapped(lambda pictures: segmenter.forward(model, own, pictures, statistics="batch")[0])
            heads = run(pictures)
            return (heads.main**2).sum() + (heads.auxiliary**2).sum()

        compiled = jax.jit(jax.grad(loss)).lower(variables["params"]).compile(COMPILER_OPTIONS)
        return compiled.memory_analysis().temp_size_in_bytes

    assert needed(segmenter.block_by_block) < 0.97 * needed(lambda run: run)


def test_savings_are_taken_in_turn_until_the_budget_holds():
    options = dataclasses.replace(step_parts.options(), student_statistics="running", savings=PLAIN)
    needs = {PLAIN: 9.5, STRIPS: 9, ORDERED: 8, OUTPUTS: 7, BLOCKS: 6, PARTS: 3, PARTS._replace(parts=4): 2}

    def plan(savings):
        return {"state": 10**9, "computing": round(needs[savings] * 10**9)}

    for budget, expected in (
        (0, PLAIN),
        (10.5, PLAIN),
        (10, STRIPS),
        (9.5, ORDERED),
        (8, OUTPUTS),
        (7, BLOCKS),
        (4.5, PARTS),
        (3.5, PARTS._replace(parts=4)),
    ):
        found = memory_budget.within(budget, options, 4, plan)
        assert found.savings == expected and found.total == (1 + needs[expected]) * 10**9
    assert (
        "saved by: losses on strips of rows, an order that keeps less at a time, predictions at the pictures' size "
        "computed anew for each loss, " in str(found)
    )
    with pytest.raises(UserError, match="memory_budget_gb=2: a step needs about 3.00 GB .*state 1.00, computing 2.00"):
        memory_budget.within(2, options, 4, plan)
    learning = dataclasses.replace(options, student_statistics="batch")
    with pytest.raises(UserError, match="batch_norm=frozen its pictures can come one after another"):
        memory_budget.within(4.5, learning, 4, plan)


def test_a_run_under_a_budget_says_what_it_saves_and_records_it(toy_city, workdir):
    changes = {"goal": ("source_only",), "train.steps": 4, "train.checkpoint_every": 4, "train.eval_every": 0}
    free = tiny_runs.run(tiny_runs.config(toy_city, **changes), workdir / "free")
    assert "GB of memory" not in free
    record = records.read_json(tiny_runs.stage_folder(workdir / "free", "source_only") / "record.json")
    assert record["memory"].keys() <= {"observed_rise_gb"}
    enough = tiny_runs.run(
        tiny_runs.config(toy_city, **changes, **{"train.memory_budget_gb": 64.0}), workdir / "enough"
    )
    assert "a step needs about 0.0" in enough and "saved by" not in enough
    record = records.read_json(tiny_runs.stage_folder(workdir / "enough", "source_only") / "record.json")
    planned = record["memory"]["planned_gb"]
    assert 0 < planned < 0.1 and record["memory"]["savings"] == ""
    tight = {"train.memory_budget_gb": 0.97 * planned}
    said = tiny_runs.run(tiny_runs.config(toy_city, **changes, **tight), workdir / "tight")
    assert "saved by: an order" in said
    with pytest.raises(UserError, match=r"config.train.memory_budget_gb=1e-06: a step needs about"):
        tiny_runs.run(tiny_runs.config(toy_city, **changes, **{"train.memory_budget_gb": 1e-6}), workdir / "none")


def test_the_plan_tells_the_memory_of_the_steps_to_come(toy_city, workdir, run_py):
    """Also of a stage whose teacher is not trained yet."""
    words = tiny_runs.arguments(toy_city, workdir, **{"goal": "case_a"})
    ended = run_py([*words, "--mode=plan", "--memory"])
    assert ended.code == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if "a step needs about 0.0" in line]
    assert [line.partition(":")[0] for line in lines] == ["Teacher, adapted", "(a) distilled on source"]
    ended = run_py([*words, "--mode=plan", "--memory", "--config.train.memory_budget_gb=1e-6"])
    tiny_runs.one_line(ended, "config.train.memory_budget_gb=1e-06: a step needs about 0.0")


def test_the_rise_is_what_was_taken():
    rise = device_memory.Rise(jax.local_devices()[0])
    rise.begin()
    taken = np.ones(2**26, np.uint8)
    rise.close()
    assert math.isclose(rise.bytes, taken.nbytes, rel_tol=0.15)
    rise.close()
    never = device_memory.Rise(jax.local_devices()[0])
    never.close()
    assert never.bytes == 0
