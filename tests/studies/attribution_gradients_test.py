"""Cosines and norms of the loss terms' gradients, against each term's loss written out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import step_parts
import tiny_runs
from attribution_networks import CLASSES, MODEL, variables

from dakd_jax.models.discriminator import Discriminator
from dakd_jax.models.segmenter import log_probabilities
from dakd_jax.objectives import optimizers
from dakd_jax.studies.attribution import gradients
from dakd_jax.training.step.options import StepModels

LAMBDAS = {
    "seg_auxiliary": 0.3, "adversarial_auxiliary": 0.2, "adversarial_main": 0.7, "kl": 0.6, "mse": 0.05, "ce": 1.5,
    "distil_source": 1.0, "distil_target": 0.5,
}  # fmt: skip
WEIGHTS = step_parts.weights(**LAMBDAS)
ALL_TERMS = ["segmentation", "adversarial"] + [
    f"{domain} {term}" for domain in ("source", "target") for term in ("KL", "MSE", "quasi CE")
]


JUDGE = Discriminator(width=0.05)


@functools.cache
def state():
    return step_parts.create(
        variables(0),
        step_parts.discriminators(JUDGE, 0, CLASSES),
        optimizer=optimizers.SegmenterOptimizer(),
    )


def batch(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, (2, 32, 40), np.uint8)
    label[:, :9] = 255
    pictures = rng.integers(0, 256, (2, 2, 32, 40, 3), np.uint8)
    return {"source_image": pictures[0], "source_label": label, "target_image": pictures[1]}


def by_hand(term, params, batch):
    """The weighted loss of one term."""
    w, domain = WEIGHTS, "source" if term == "segmentation" or term.startswith("source") else "target"
    images = batch[f"{domain}_image"]

    def run(params):
        heads = MODEL.apply({"params": params}, images, train=True)
        return [log_probabilities(x, images.shape[1:3], 8) for x in (heads.main, heads.auxiliary)]

    (main, auxiliary), (t_main, t_auxiliary) = run(params), run(variables(1)["params"])
    if term == "segmentation":
        label = jnp.asarray(batch["source_label"])
        chosen = jax.nn.one_hot(label, CLASSES)  # zeros where void
        losses = [-(chosen * x).sum() / (label != 255).sum() for x in (main, auxiliary)]
        return losses[0] + w.seg_auxiliary * losses[1]
    if term == "adversarial":
        judges = step_parts.of_state(state())
        judged = {
            level: jax.nn.softplus(JUDGE.apply({"params": judges[level]}, jnp.exp(x))).mean()
            for level, x in (("main", main), ("auxiliary", auxiliary))
        }
        return sum(w.methods["adversarial"][level] * value for level, value in judged.items())
    loss = {
        "KL": lambda: w.terms["kl"] * ((jnp.exp(t_main) * (t_main - main)).mean()
                              + w.seg_auxiliary * (jnp.exp(t_auxiliary) * (t_auxiliary - auxiliary)).mean()),
        "MSE": lambda: w.terms["mse"] * jnp.square(auxiliary - t_auxiliary).mean(),
        "quasi CE": lambda: -w.terms["ce"] * (jax.nn.one_hot(t_main.argmax(-1), CLASSES) * main).sum(-1).mean(),
    }[term.split(" ", 1)[1]]  # fmt: skip
    return getattr(w, f"distil_{domain}") * loss()


@pytest.fixture(scope="module")
def aligned():
    with tiny_runs.quick_compilation():
        return gradients.align(
            state(), variables(1), [batch(0), batch(1)], WEIGHTS,
            models=StepModels(MODEL, MODEL), options=step_parts.options(discriminator=JUDGE),
        )  # fmt: skip


def test_every_term_is_as_if_written_out_by_hand(aligned):
    assert list(aligned.terms) == ALL_TERMS
    all_terms = jax.jit(lambda *a: {term: jax.grad(functools.partial(by_hand, term))(*a) for term in ALL_TERMS})
    for n in range(2):
        with tiny_runs.quick_compilation():
            trees = all_terms(variables(0)["params"], batch(n))
        flat = {
            term: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for term, tree in trees.items()
        }
        reference = flat["segmentation"]
        for t, term in enumerate(ALL_TERMS):
            norm = np.linalg.norm(flat[term])
            assert aligned.norm[t, n] == pytest.approx(norm, rel=1e-4), term
            cosine = reference @ flat[term] / norm / np.linalg.norm(reference)
            assert aligned.cosine[t, n] == pytest.approx(cosine, abs=1e-4), term


def test_a_term_lies_to_itself_as_1_and_to_its_opposite_as_minus_1(aligned):
    np.testing.assert_allclose(aligned.cosine[0], 1, atol=1e-5)
    tree = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    opposite, nothing = jax.tree.map(jnp.negative, tree), jax.tree.map(jnp.zeros_like, tree)
    assert [float(x) for x in gradients.cosine_and_norm(tree, opposite)] == [-1, 5]
    cosine, norm = gradients.cosine_and_norm(tree, nothing)
    assert np.isnan(cosine) and norm == 0


@pytest.mark.parametrize(
    ("weights", "options", "gone"),
    [
        ({"mse": 0.0}, {}, ["source MSE", "target MSE"]),
        ({"distil_source": 0.0}, {}, ["source KL", "source MSE", "source quasi CE"]),
        ({"adversarial_main": 0.0}, {}, []),
        ({"adversarial_main": 0.0, "adversarial_auxiliary": 0.0}, {}, ["adversarial"]),
        ({}, {"adapt": False}, ["adversarial"]),
        ({}, {"kl_reduction": "off"}, ["source KL", "target KL"]),
    ],
)
def test_a_term_without_weight_is_left_out(weights, options, gone):
    terms = gradients.single_terms(step_parts.weights(**LAMBDAS | weights), step_parts.options(**options))
    assert list(terms) == [term for term in ALL_TERMS if term not in gone]


def test_no_batch_is_refused():
    with pytest.raises(ValueError, match="at least one batch"):
        gradients.align(state(), None, [], WEIGHTS, models=StepModels(MODEL), options=step_parts.options())
