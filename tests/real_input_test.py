"""The real pictures through run.py as it stands: a few steps at a small size that is no multiple of 8."""

import numpy as np
import tiny_runs

from dakd_jax.evaluation import metrics

FEW_STEPS = {
    key: value
    for key, value in tiny_runs.TINY.items()
    if key.startswith(("student", "teacher", "discriminator", "optim", "train"))
} | {"train.steps": 3, "train.teacher_steps": 3, "train.eval_every": 0, "data.loader": "numpy"}


def test_bdd_case_d_on_camvid_at_odd_sizes(run_py, camvid_dir, tmp_path):
    changes = FEW_STEPS | {"data.source_size": "100,60", "data.target_size": "68,44"}
    fields = [f"--config.{key}={value}" for key, value in changes.items()]
    command = ["--config=configs/bdd_case_d.py", f"--config.data.root={camvid_dir}", f"--workdir={tmp_path}", *fields]
    ended = run_py(command)
    assert (ended.code, ended.stderr) == (0, "")
    for part in ("405 train pictures", "62 train pictures (unlabelled)", "31 val pictures (labelled)", "(d) on target"):
        assert part in ended.stdout
    for name in ("teacher", "case_c", "case_d"):
        folder = tiny_runs.stage_folder(tmp_path, name)
        losses = [row for row in tiny_runs.metric_rows(folder) if row["kind"] == "train"]
        assert [row["step"] for row in losses] == [1, 2, 3]
        assert all(np.isfinite(value) for row in losses for value in row.values() if isinstance(value, float))
        with np.load(next(folder.glob("evaluation-native-*.npz"))) as stored:
            confusion = stored["confusion"]
        # Labels at their own size, each picture once: all but the ignored pixels of 31 pictures of 480x360.
        assert 0.8 * 31 * 480 * 360 < confusion.sum() <= 31 * 480 * 360
        assert np.count_nonzero(confusion.sum(1)) == 10  # the benchmark's classes
        assert 0 <= metrics.scores(confusion).miou_present <= 1
    assert (tmp_path / "report_bdd_case_d" / "index.html").exists()
    again = run_py(command)
    assert again.code == 0 and again.stdout.count("finished, reused") == 3
