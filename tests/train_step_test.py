"""Five whole optimisation steps against the released PyTorch code, in float64; and what must break them.

One trajectory is made by train_step itself, compiled as users compile it, with the convolutions of models/convolution
where there is most to do; the others by the functions that it consists of, with the convolutions of
float64_convolution.py and a teacher that is asked once for all of them: a quarter of the time. Every two of case,
settings and the teacher's statistics meet in one of all steps; of the others, which differ from one of these in the
optimiser alone, what depends on it is compared: the losses after its first update.
"""

import contextlib
import functools
import unittest.mock
import zlib

import float64_convolution
import golden
import jax
import numpy as np
import pytest
import step_parts
from conftest import release_memory

from dakd_jax.objectives import optimizers
from dakd_jax.objectives.adaptation import Tools
from dakd_jax.objectives.terms import kl
from dakd_jax.training import train_state
from dakd_jax.training.step import passes, train_step
from dakd_jax.training.step.options import StepModels

CASES = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (1.0, 1.0)}
SETTINGS = {
    "official": (optimizers.SegmenterOptimizer(nesterov=False, weight_decay=5e-4), 1e-4),
    "supplement": (optimizers.SegmenterOptimizer(nesterov=True, weight_decay=1e-4), 1e-3),
}
TERMS = {
    "src/seg1": "source/seg_auxiliary", "src/seg2": "source/seg_main", "src/total": "source/total",
    "tgt/adv1": "target/adversarial_auxiliary", "tgt/adv2": "target/adversarial_main", "tgt/total": "target/total",
    "D/src1": "discriminator/source_auxiliary", "D/src2": "discriminator/source_main",
    "D/tgt1": "discriminator/target_auxiliary", "D/tgt2": "discriminator/target_main",
} | {
    f"{short}/{theirs}": f"{domain}/{ours}"
    for short, domain in (("src", "source"), ("tgt", "target"))
    for theirs, ours in (
        ("kl1", "kl_auxiliary"), ("kl2", "kl_main"), ("mse1", "mse_auxiliary"), ("pce2", "quasi_ce_main"),
    )
}  # fmt: skip
LEVELS = {"D1": "auxiliary", "D2": "main"}
STEPS = 5


@pytest.fixture(autouse=True, scope="module")
def optimised():
    """These steps take seconds, so that it pays to compile them with all passes."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def x64(request):
    with jax.enable_x64(True):
        yield
    if request.node.get_closest_marker("long"):
        release_memory()


def _start(golden_dir, optimizer):
    return step_parts.create(
        golden.segmenter(golden_dir, golden.STUDENT),
        {level: golden.discriminator(golden_dir, which) for which, level in LEVELS.items()},
        optimizer=optimizer,
    )


AS_USERS = {"xla_cpu_use_fusion_emitters": True}  # conftest.py chooses those that compile sooner


class ByTrainStep:
    """The very function that trains."""

    def __init__(self):
        self._compiled = None

    def __call__(self, state, teacher, batch, weights, rates, **statics):
        given = (state, teacher, batch, weights, rates)
        if self._compiled is None:
            self._compiled = train_step.train_step.lower(*given, **statics).compile(AS_USERS)
            release_memory()  # compiling leaves as much behind as the step needs
        return self._compiled(*given)


@functools.partial(jax.jit, static_argnames=("optimizer",), donate_argnums=(0,))
def _apply(state, found, rate, *, optimizer):
    """The state after the segmenter's optimiser has stepped, from what _gradients found."""
    return train_step.apply_gradients(state, found, rate, optimizer)


@functools.partial(jax.jit, donate_argnums=(0,))
def _update(own, found, step, rates):
    """(what the discriminators' optimisers have stepped, their losses): the same program for both SETTINGS."""
    (method,) = OPTIONS.methods
    return method.update(own, found.outputs, found.batch, Tools(step, {}, None, rates, "float32"))


def _stepped(state, found, rates, optimizer):
    """The state after all optimisers have stepped, and all losses."""
    own, losses = _update(state.adaptation["adversarial"], found, state.step, rates)
    after = _apply(state.replace(adaptation={"adversarial": own}), found, rates["segmenter"], optimizer=optimizer)
    return after, found.losses | losses


OPTIONS = step_parts.options()


@functools.cache
def _answers(golden_dir, teacher_model, options):
    """What the teacher says in any trajectory: for each step {domain: Outputs}."""
    teacher = golden.segmenter.__wrapped__(golden_dir, teacher_model)  # not kept: the answers are enough
    ask = jax.jit(
        lambda teacher, images: passes._teacher_outputs(
            teacher, {"source_image": images}, "source", 1.0, _weights("c"), model=teacher_model, options=options
        )
    )
    batches = [_batch(golden_dir, i) for i in range(STEPS)]
    found = [{domain: ask(teacher, batch[f"{domain}_image"]) for domain in ("source", "target")} for batch in batches]
    return jax.tree.map(np.asarray, found)


@contextlib.contextmanager
def _with_answers(answers):
    """Within it the teacher is not run: it has answered already."""
    used = []

    def given(teacher, batch, domain, *unused, **how):
        used.append(domain)
        return jax.lax.stop_gradient(answers[used[-1]])

    with unittest.mock.patch.object(passes, "_teacher_outputs", given):
        yield
    assert used == ["source", "target"]


@jax.jit
def _gradients(state, answers, batch, weights):
    """train_step.losses_and_gradients with the teacher's answers given: one program for all trajectories."""
    models = StepModels(golden.STUDENT, golden.TEACHER)  # the second is not run
    with _with_answers(answers):
        return train_step.losses_and_gradients(state, None, batch, weights, models=models, options=OPTIONS)


_firsts = {}  # the last gradients that were asked for at step 0


def _by_its_halves(state, answers, batch, weights, rates, *, optimizer, **unused):
    """What train_step consists of, in programs that serve many trajectories.

    Those that differ in the optimiser alone have the gradients of step 0 in common.
    """
    if int(state.step):
        return _stepped(state, _gradients(state, answers, batch, weights), rates, optimizer)
    asked = id(answers), repr(weights)  # the answers of a teacher are kept; all trajectories start from one state
    if asked not in _firsts:
        _firsts.clear()
        _firsts[asked] = _gradients(state, answers, batch, weights)
    return _stepped(state, _firsts[asked], rates, optimizer)


def _statics(settings, teacher_mode, teacher_model):
    return {
        "models": StepModels(golden.STUDENT, teacher_model),
        "options": step_parts.options(teacher_statistics={"train": "batch", "eval": "running"}[teacher_mode]),
        "optimizer": SETTINGS[settings][0],
    }


def _weights(case, **changes):
    source, target = CASES[case]
    given = {"distil_source": source, "distil_target": target, "watch_inactive": True}
    return step_parts.weights(**given | changes)


def _batch(golden_dir, i):
    with np.load(golden_dir / "traj_inputs.npz") as inputs:
        return {
            "source_image": inputs["source_u8"][i],
            "source_label": inputs["source_label"][i],
            "target_image": inputs["target_u8"][i],
        }


def _run(golden_dir, case, settings, teacher_mode, teacher_model, step, steps):
    """(initial state, final state, {term: values of every step}) of the first steps of a golden trajectory."""
    optimizer, discriminator_rate = SETTINGS[settings]
    weights, statics = _weights(case), _statics(settings, teacher_mode, teacher_model)

    def teacher(i):
        if isinstance(step, ByTrainStep):
            return golden.segmenter(golden_dir, teacher_model)
        return _answers(golden_dir, teacher_model, statics["options"])[i]

    decay = optimizers.polynomial_decay(1.0, horizon=50_000, power=0.9, steps=STEPS)
    first = _start(golden_dir, optimizer)
    state, losses = train_state.copied(first), []
    for i in range(steps):
        rates = step_parts.rates(2.5e-4 * decay[i], discriminator_rate * decay[i])
        state, metrics = step(state, teacher(i), _batch(golden_dir, i), weights, rates, **statics)
        losses.append(metrics)
    return first, state, _series(losses)


def _series(losses):
    return {name: np.array([float(m[f"loss/{name}"]) for m in losses]) for name in TERMS.values()}


def _worst_loss(stored, series):
    """Largest relative difference of any loss at any step, and its name."""
    gaps = {}
    for theirs, ours in TERMS.items():
        expected = stored[f"f64/loss/{theirs}"][: len(series[ours])]
        gaps[ours] = np.max(np.abs(series[ours] - expected) / np.maximum(np.abs(expected), 1e-300))
    worst = max(gaps, key=gaps.get)
    return gaps[worst], worst


@functools.cache
def _signs(name, n):
    return (np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).randint(0, 2, n) * 2 - 1).astype(np.int8)


def _assert_changes(stored, group, before, after):
    """delta_norm and delta_proj of every tensor within 1e-6 of its delta_norm."""
    before, after = golden.named(before), golden.named(after)
    checked = 0
    for i, name in enumerate(stored[f"keys/{group}"]):
        if name.startswith(("up1", "up2")) or name.endswith("num_batches_tracked"):
            continue
        delta = (np.asarray(after[name], np.float64) - np.asarray(before[name], np.float64)).ravel()
        norm = stored[f"f64/{group}/delta_norm"][i]
        assert abs(np.linalg.norm(delta) - norm) <= 1e-6 * norm, name
        projection = delta @ _signs(name, delta.size)
        assert abs(projection - stored[f"f64/{group}/delta_proj"][i]) <= 1e-6 * norm, name
        checked += 1
    return checked


def _segmenter(state):
    return {"params": state.params, "batch_stats": state.batch_stats}


def _first_losses(golden_dir, *changes):
    """The losses of case (c)'s first step, without gradients, for each dictionary of changed lambdas."""
    statics, batch = _statics("supplement", "eval", golden.TEACHER), _batch(golden_dir, 0)
    state = _start(golden_dir, statics["optimizer"])
    answers = _answers(golden_dir, golden.TEACHER, statics["options"])[0]
    how = {"models": statics["models"], "options": OPTIONS}
    (method,) = OPTIONS.methods

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, None, None, 0))  # the networks run once for all lambdas
    def losses(state, answers, batch, weights):
        found, stats, outputs = {}, state.batch_stats, {}
        with _with_answers(answers):
            for domain in ("source", "target"):
                _, (terms, outputs[domain], stats) = passes.pass_loss(
                    {"params": state.params, "terms": {}}, stats, state.adaptation, None, batch, state.step, weights,
                    domain=domain, **how,
                )  # fmt: skip
                found |= {f"loss/{domain}/{name}": value for name, value in terms.items()}
        return found | method.gradients(state.adaptation["adversarial"], outputs, batch, "float32")[1]

    weights = jax.tree.map(lambda *values: np.stack(values), *(_weights("c", **change) for change in changes))
    found = losses(state, answers, batch, weights)
    return [_series([{name: value[i] for name, value in found.items()}]) for i in range(len(changes))]


BROKEN = {
    "seg_auxiliary": 0.2,
    "adversarial_auxiliary": 4e-4,
    "adversarial_main": 2e-3,
    "kl": 0.2,
    "mse": 0.02,
    "ce": 0.5,
    "distil_source": 0.9,
    "distil_target": 0.9,
}


@pytest.mark.long
@float64_convolution.as_matrix_products()
def test_every_wrong_weight_breaks_the_trajectory(golden_dir):
    """Each lambda, changed on purpose, must be seen in the very first losses."""
    stored = np.load(golden_dir / "traj_c_supplement_teachereval.npz")
    right, *wrong = _first_losses(golden_dir, {}, *({name: value} for name, value in BROKEN.items()))
    assert _worst_loss(stored, right)[0] <= 1e-8
    for name, losses in zip(BROKEN, wrong, strict=True):
        assert _worst_loss(stored, losses)[0] > 1e-7, f"a wrong {name} went unnoticed"


@pytest.mark.long
@float64_convolution.as_matrix_products()
def test_kl_the_other_way_round_breaks_the_trajectory(golden_dir, monkeypatch):
    right = kl.kl_divergence
    monkeypatch.setattr(
        kl, "kl_divergence", lambda student, teacher, reduction: right(teacher, student, reduction=reduction)
    )
    stored = np.load(golden_dir / "traj_c_supplement_teachereval.npz")
    gap, term = _worst_loss(stored, *_first_losses(golden_dir, {}))
    assert gap > 1e-3 and "kl" in term


BY_TRAIN_STEP = ("c", "supplement", "train", golden.TEACHER)
OF_ALL_STEPS = [
    ("a", "official", "eval"), ("a", "supplement", "train"), ("b", "official", "train"), ("b", "supplement", "eval"),
    ("c", "official", "eval"), ("c", "supplement", "train"),
]  # fmt: skip
# Each but the last follows one that has its gradients of step 0: the other settings of its case and mode.
TRAJECTORIES = [
    (case, settings, mode, golden.TEACHER)
    for case in CASES
    for mode in ("eval", "train")
    for settings in sorted(SETTINGS, key=lambda of: (case, of, mode) not in OF_ALL_STEPS)
] + [("c", "official", "train", golden.TEACHER_F7)]
TRAJECTORIES.sort(key=lambda of: of == BY_TRAIN_STEP)  # it comes last: what the others share is forgotten before it


@pytest.fixture
def step(request):
    """How a trajectory's steps are made."""
    of = tuple(request.node.callspec.params[name] for name in ("case", "settings", "mode", "teacher"))
    if of != BY_TRAIN_STEP:
        with float64_convolution.as_matrix_products():
            yield _by_its_halves
        return
    _forget()  # two such programs and what surrounds them would take gigabytes
    with float64_convolution.as_matrix_products(winograd_from=2**28):
        yield ByTrainStep()
    _forget()


def _forget():
    jax.clear_caches()
    golden.forget()
    _answers.cache_clear()
    _firsts.clear()
    _signs.cache_clear()
    release_memory()


@pytest.mark.long
@pytest.mark.parametrize(("case", "settings", "mode", "teacher"), TRAJECTORIES)
def test_steps_equal_reference(golden_dir, step, case, settings, mode, teacher):
    suffix = "_f7" if teacher is golden.TEACHER_F7 else ""
    stored = np.load(golden_dir / f"traj_{case}_{settings}_teacher{mode}{suffix}.npz")
    whole = (case, settings, mode) in OF_ALL_STEPS or teacher is golden.TEACHER_F7
    first, last, series = _run(golden_dir, case, settings, mode, teacher, step, STEPS if whole else 2)
    gap, term = _worst_loss(stored, series)
    assert gap <= 1e-8, f"{term} differs by {gap:.1e}"
    if not whole:
        return
    assert _assert_changes(stored, "student", _segmenter(first), _segmenter(last)) >= 129
    for which, level in LEVELS.items():
        before, after = ({"params": step_parts.of_state(s)[level]} for s in (first, last))
        assert _assert_changes(stored, which, before, after) == 10
    assert int(last.step) == STEPS


def test_polynomial_decay_is_the_closed_form():
    ours = optimizers.polynomial_decay(2.5e-4, horizon=100, power=0.9, steps=120)
    expected = 2.5e-4 * np.maximum(1 - np.arange(120) / 100, 0) ** 0.9
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-18)
