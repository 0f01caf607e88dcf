"""Does the suite notice? Plants one-line faults in a copy of the project, one at a time, and runs the tests over each.

    python tests/planted_faults.py [--only=TEXT] [--whole]

Prints a row of Markdown for each fault: what was planted, where, and the first test that failed. By hand or nightly:
about half an hour. The tests that a fault names are run first; if they let it pass, or with --whole, all are. Exit code
1 if a fault survives. The table stands in docs/TESTING.md.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One line of a file and what takes its place.

    Attributes:
      name: for people; what is wrong then.
      room: which part of the project it is in.
      file: from the project's root.
      right, wrong: text that occurs once in the file, and what it becomes.
      tests: files of tests/, or tests of them, that are run first, separated by blanks.
    """

    name: str
    room: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault("KL's arguments swapped", "losses", "dakd_jax/objectives/terms/kl.py",
          "jnp.exp(teacher) * (teacher - student)",
          "jnp.exp(student) * (student - teacher)", "losses_test.py"),
    Fault("ignored pixels counted in the mean", "losses", "dakd_jax/objectives/cross_entropy.py",
          "labelled(labels, ignore_label), 1)", "valid.size, 1)", "losses_test.py"),
    Fault("corners not aligned in the upsampling", "models", "dakd_jax/models/resizing.py",
          "position = np.linspace(0.0, size - 1, out_size)",
          "position = np.clip((np.arange(out_size) + 0.5) * size / out_size - 0.5, 0, size - 1)", "models_test.py"),
    Fault("running variance kept biased", "models", "dakd_jax/models/batch_norm.py",
          "batch_mean(unbiased)", "batch_mean(var)", "models_test.py"),
    Fault("the learning rate decays one step early", "optimizers", "dakd_jax/objectives/optimizers.py",
          "schedule(np.arange(steps))", "schedule(np.arange(steps) + 1)",
          "train_step_test.py::test_polynomial_decay_is_the_closed_form"),
    Fault("no weight decay", "optimizers", "dakd_jax/objectives/optimizers.py",
          "optax.add_decayed_weights(self.weight_decay)", "optax.add_decayed_weights(0.0)",
          "train_step_test.py::test_steps_equal_reference[a-official-eval-teacher0]"),
    Fault("the generator is to look like the target", "adaptation", "dakd_jax/objectives/adaptation/adversarial.py",
          "log_probs[level], precision), SOURCE_LABEL)", "log_probs[level], precision), TARGET_LABEL)",
          "losses_test.py"),
    Fault("the discriminators' losses not halved", "adaptation", "dakd_jax/objectives/adaptation/adversarial.py",
          "0.5 * judge(", "1.0 * judge(", "losses_test.py"),
    Fault("the frozen teacher in train mode", "step", "dakd_jax/training/step/passes.py",
          "how = (options.teacher_statistics,", 'how = ("batch",',
          "training/train_step_tiny_test.py::test_teacher_statistics_are_running_or_of_the_batch"),
    Fault("the target distilled on as much as the source", "step", "dakd_jax/stages/settings.py",
          "distil_target=loss.target * stage.distil_target", "distil_target=1.0 * stage.distil_target",
          "stages/settings_test.py"),
    Fault("the worst candidate is chosen", "selection", "dakd_jax/evaluation/checkpoint_choice.py",
          "return max(scored)[1] if", "return min(scored)[1] if", "evaluation/selection_test.py"),
    Fault("mirrored predictions not turned back", "selection", "dakd_jax/evaluation/checkpoint_choice.py",
          "(log_probs, mirrored[:, :, ::-1])", "(log_probs, mirrored)", "evaluation/selection_test.py"),
    Fault("momentum not restored", "state", "dakd_jax/training/loop.py",
          "            state = restored\n", "            state = restored.replace(opt_state=state.opt_state)\n",
          "resume_test.py::test_stopped_inside_a_step_goes_on_from_the_last_checkpoint"),
    Fault("both networks start from one key", "state", "dakd_jax/models/segmenter.py",
          "zlib.crc32(role.encode())", "0", "training/train_state_test.py"),
    Fault("the padding of a last batch counted", "evaluation", "dakd_jax/evaluation/predict.py",
          "num_classes=model.num_classes))[mask])", "num_classes=model.num_classes)))", "evaluation/evaluate_test.py"),
    Fault("a class predicted but never labelled left out of the mean", "evaluation", "dakd_jax/evaluation/metrics.py",
          "miou=_mean(iou[~np.isnan(iou)])", "miou=_mean(iou[labelled > 0])", "metrics_test.py"),
    Fault("labels resized with interpolation", "reading", "data_pipelines/reading/loading.py",
          'else resize(label, label_size, "nearest")', 'else resize(label, label_size, "bilinear")', "loading_test.py"),
    Fault("one picture twice in an epoch, another never", "reading", "data_pipelines/augmentation/example_order.py",
          "return int(permutation[offset])", "return int(permutation[max(offset, 1)])", "data/example_order_test.py"),
    Fault("mirrored without its label", "augmentation", "data_pipelines/augmentation/transforms.py",
          "None if label is None else mirror(label)", "label", "data/transforms_test.py"),
    Fault("the padding of a zoomed label is a class", "augmentation", "data_pipelines/augmentation/transforms.py",
          '"nearest", IGNORE_LABEL)', '"nearest", 0)', "data/transforms_test.py"),
    Fault("weight decay left out of the identity", "identity", "dakd_jax/stages/stage_identity.py",
          'Exempt(("train.log_every",', 'Exempt(("optim.weight_decay", "train.log_every",',
          "stages/stage_identity_test.py"),
    Fault("a trunk counts by its path", "identity", "dakd_jax/stages/stage_identity.py",
          "weights.hash_file(weights.trunk_file(network)) if", "str(network.pretrained) if",
          "stages/stage_identity_test.py"),
)  # fmt: skip


def copy_to(folder: pathlib.Path) -> None:
    """The tracked files and those that git does not ignore, as they are now; what lies beside the project by a link."""
    listed = subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard"),
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    if (beside := PROJECT.parent / "shared").exists():
        (folder.parent / "shared").symlink_to(beside)


def plant(folder: pathlib.Path, fault: Fault) -> int:
    """Writes the fault into a copy; returns the number of its line."""
    path = folder / fault.file
    text = path.read_text()
    if text.count(fault.right) != 1:
        raise SystemExit(f"{fault.name}: {fault.right!r} is {text.count(fault.right)} times in {fault.file}, not once")
    path.write_text(text.replace(fault.right, fault.wrong))
    return text[: text.index(fault.right)].count("\n") + 1


def first_failure(folder: pathlib.Path, files: list[str]) -> str:
    """The first test that fails in a copy, '' when all pass; `files` of tests/, [] = all."""
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-x", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider",
            *(f"tests/{name}" for name in files),
        ],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    if ended.returncode not in (0, 1, 2) or (ended.returncode and not found):
        raise SystemExit(f"pytest ended with {ended.returncode}:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    return found[1].removeprefix("tests/") if found else ""


def main() -> int:
    """Plants the faults that --only selects; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names or rooms of the faults to plant")
    parser.add_argument("--whole", action="store_true", help="run all tests over each fault at once")
    options = parser.parse_args()
    survived = 0
    print("| fault | room | where | caught by | seconds |\n|---|---|---|---|---:|", flush=True)
    for fault in FAULTS:
        if options.only not in f"{fault.name} {fault.room}":
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="planted_") as place:
            folder = pathlib.Path(place) / "copy"
            folder.mkdir()
            copy_to(folder)
            line = plant(folder, fault)
            found = "" if options.whole else first_failure(folder, fault.tests.split())
            found = found or first_failure(folder, [])
        survived += not found
        seconds, where = time.monotonic() - began, f"{fault.file}:{line}"
        print(f"| {fault.name} | {fault.room} | {where} | {found or '**nothing**'} | {seconds:.0f} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
