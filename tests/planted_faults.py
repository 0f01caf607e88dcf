"""Does the suite notice? Plants one-line faults in a copy of the project, one at a time, and runs the tests over each.

    python tests/planted_faults.py [--only=NAME,...] [--whole] [--jobs=N]

Prints a row of Markdown for each fault: what was planted, where, and the first test that failed. Run by hand or nightly: half
an hour on two cores. First the tests of the modules that the fault is in are run (`tests` of the fault); only if those let it
pass, or with --whole at once, all are. Exit code 1 if a fault survives. The table stands in docs/TESTING.md.
"""

import dataclasses
import pathlib

PROJECT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One line of a file and what takes its place.

    Attributes:
      name: for people; what is wrong then.
      room: which part of the project it is in.
      file: from the project's root.
      right, wrong: text that occurs once in the file, and what it becomes.
      tests: files of tests/ that are run first, separated by blanks.
    """

    name: str
    room: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault("KL's arguments swapped", "losses", "dakd_jax/losses/distillation.py",
          "jnp.exp(teacher) * (teacher - student)", "jnp.exp(student) * (student - teacher)", "losses_test.py"),
    Fault("ignored pixels counted in the mean", "losses", "dakd_jax/losses/segmentation.py",
          "jnp.maximum(jnp.sum(valid), 1)", "jnp.maximum(valid.size, 1)", "losses_test.py"),
    Fault("corners not aligned in the upsampling", "models", "dakd_jax/models/resizing.py",
          "np.linspace(0.0, size - 1, out_size)", "np.clip((np.arange(out_size) + 0.5) * size / out_size - 0.5, 0, size - 1)",
          "models_test.py"),
    Fault("running variance kept biased", "models", "dakd_jax/models/batch_norm.py",
          "_blend(running_var.value, unbiased)", "_blend(running_var.value, var)", "models_test.py"),
    Fault("learning rate decays one step early", "optimizers", "dakd_jax/optimizers.py",
          "schedule(np.arange(steps))", "schedule(np.arange(steps) + 1)", "train_step_test.py"),
    Fault("no weight decay", "optimizers", "dakd_jax/optimizers.py",
          "optax.add_decayed_weights(self.weight_decay)", "optax.add_decayed_weights(0.0)", "train_step_test.py"),
    Fault("generator told to look like the target", "adaptation", "dakd_jax/adaptation/adversarial.py",
          "log_probs[level], precision), judges.SOURCE) for level", "log_probs[level], precision), judges.TARGET) for level",
          "losses_test.py"),
    Fault("the judged predictions get a gradient's worth twice: losses not halved", "adaptation",
          "dakd_jax/adaptation/adversarial.py", "0.5 * judge(", "1.0 * judge(", "losses_test.py"),
    Fault("the frozen teacher in train mode", "step", "dakd_jax/train_step.py",
          'train = options.teacher_statistics == "batch"', "train = True", "train_step_test.py"),
    Fault("the worst candidate is chosen", "selection", "dakd_jax/selection.py",
          "return max(scored)[1]", "return min(scored)[1]", "selection_test.py"),
    Fault("mirrored predictions compared without turning them back", "selection", "dakd_jax/selection.py",
          "(log_probs, mirrored[:, :, ::-1])", "(log_probs, mirrored)", "selection_test.py"),
    Fault("momentum not restored", "state", "dakd_jax/checkpointing.py",
          "            state = restored\\n", "", ""),
    Fault("both networks start from one key", "state", "dakd_jax/train_state.py",
          "zlib.crc32(role.encode())", "0", "train_state_test.py stages_test.py"),
    Fault("the padding of a last batch is counted", "evaluation", "dakd_jax/evaluate.py",
          'labels, predictions, batch["mask"], num_classes', "labels, predictions, None, num_classes", "evaluate_test.py"),
    Fault("a class that is predicted but never labelled is left out of the mean", "evaluation", "dakd_jax/metrics.py",
          "miou=_mean(iou[~np.isnan(iou)])", "miou=_mean(iou[labelled > 0])", "metrics_test.py"),
    Fault("labels resized with interpolation", "reading", "data_pipelines/loading.py",
          'else resize(label, label_size, "nearest")', 'else resize(label, label_size, "bilinear")', "loading_test.py"),
    Fault("one picture twice in an epoch, another never", "reading", "data_pipelines/example_order.py", "", "", ""),
    Fault("mirrored without its label", "augmentation", "data_pipelines/transforms.py",
          "None if label is None else mirror(label)", "label", "transforms_test.py"),
    Fault("the padding of a zoomed label is a class", "augmentation", "data_pipelines/transforms.py",
          '"nearest", IGNORE_LABEL)', '"nearest", 0)', "transforms_test.py"),
    Fault("weight decay left out of a stage's identity", "identity", "dakd_jax/stage_identity.py",
          'Exempt(("train.log_every",', 'Exempt(("optim.weight_decay", "train.log_every",', "stage_identity_test.py"),
    Fault("a trunk counts by its path", "identity", "dakd_jax/stage_identity.py",
          "weights.hash_file(network.pretrained) if", "str(network.pretrained) if", "stage_identity_test.py"),
)  # fmt: skip
