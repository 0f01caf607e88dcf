"""A finished stage that is named as a checkpoint is read as its own record says; flags that contradict are one line."""

import json
import re
import shutil

import pytest
import tiny_runs

from dakd_jax.basics.errors import UserError
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.stages import weights

# What the config's file says of networks when no flag is given: base.py's own.
DEFAULTS = {"student.arch": "drn_d_22", "teacher.arch": "drn_d_38"}


def edited(folder, to, **changes):
    """A copy of a stage whose record says something else of its network."""
    shutil.copytree(folder, to)
    record = json.loads((to / "record.json").read_text())
    for name, value in changes.items():
        (record["config"]["student"] if name in weights.NETWORK_FIELDS else record)[name] = value
    (to / "record.json").write_text(json.dumps({k: v for k, v in record.items() if v is not None}))
    return to


def score(text):
    return re.search(r"mIoU +([\d.]+) +of present classes +([\d.]+)", text).groups()


@pytest.mark.parametrize("name", ["student", "teacher"])
@pytest.mark.parametrize("file", ["", "/model.pth", "/model.safetensors"])
def test_the_defaults_of_the_config_are_no_contradiction(chain, toy_city, tmp_path, name, file):
    folder = tiny_runs.stage_folder(chain[0], name)
    path = {"eval.checkpoint": f"{folder}{file}"}
    as_trained = tiny_runs.config(toy_city, **path, **{"eval.network": name})
    by_default = tiny_runs.config(toy_city, **path, **DEFAULTS)
    found = [score(tiny_runs.run(one, tmp_path, "evaluate")) for one in (as_trained, by_default)]
    assert found[0] == found[1]
    assert by_default.eval.network == name and by_default[name].arch == "tiny"


def test_the_normaliser_is_that_of_the_record(chain, toy_city, tmp_path):
    plain = tiny_runs.stage_folder(chain[0], "student")
    folder = edited(plain, tmp_path / "other", normaliser="rgb_mean_std", class_names=None, palette=None)
    chosen = tiny_runs.config(toy_city, **{"eval.checkpoint": str(folder)})
    text = tiny_runs.run(chosen, tmp_path, "evaluate")
    file = shutil.copy(plain / "model.pth", tmp_path / "x.pth")
    told = {"eval.checkpoint": str(file), "student.normaliser": "rgb_mean_std"}
    assert score(text) == score(tiny_runs.run(tiny_runs.config(toy_city, **told), tmp_path, "evaluate"))
    assert chosen.student.normaliser == "rgb_mean_std"


@pytest.mark.parametrize("mode", ["evaluate", "protocols", "submit"])
@pytest.mark.parametrize(
    "flag",
    ["student.arch=drn_d_22", "student.width=2.0", "student.auxiliary_tap=layer7", "student.normaliser=rgb_mean_std",
     "eval.network=teacher"],
)  # fmt: skip
def test_a_flag_that_contradicts_the_record_is_one_line(run_py, chain, toy_city, workdir, mode, flag):
    folder = tiny_runs.stage_folder(chain[0], "student")
    changes = {"eval.checkpoint": str(folder)} | dict([flag.split("=")])
    ended = run_py([*tiny_runs.arguments(toy_city, workdir, **changes), f"--mode={mode}"])
    tiny_runs.one_line(ended, f"--config.{flag} contradicts {folder}/record.json", "leave the flag out")


def test_flags_that_agree_and_those_of_the_other_network_are_no_contradiction(run_py, chain, toy_city, workdir):
    folder = tiny_runs.stage_folder(chain[0], "student")
    changes = {"eval.checkpoint": str(folder), "eval.network": "student", "teacher.arch": "drn_d_38"}
    ended = run_py([*tiny_runs.arguments(toy_city, workdir, **changes), "--mode=evaluate"])
    assert ended.code == 0, ended.stderr


def test_a_replaced_stage_and_a_start_are_read_as_recorded(chain, toy_city, workdir):
    teacher, student = (str(tiny_runs.stage_folder(chain[0], name)) for name in ("teacher", "student"))
    named = {"replace.teacher": teacher, "student.pretrained": student}
    text = tiny_runs.run(tiny_runs.config(toy_city, goal=("case_b",), **named, **DEFAULTS), workdir, "plan")
    assert len(re.findall(r"tiny x1", text)) == 2 and "drn_d" not in text


def test_a_replaced_stage_that_the_plan_does_not_need_says_nothing(chain, toy_city, workdir):
    named = {"replace.teacher": str(tiny_runs.stage_folder(chain[0], "teacher")), **DEFAULTS}
    chosen = tiny_runs.config(toy_city, goal=("student",), **named)
    assert "drn_d_22 x1" in tiny_runs.run(chosen, workdir, "plan") and chosen.teacher.arch == "drn_d_38"


@pytest.mark.parametrize("field", ["replace.teacher", "teacher.pretrained"])
def test_flags_that_contradict_a_replaced_stage_or_a_start(run_py, chain, toy_city, workdir, field):
    folder = tiny_runs.stage_folder(chain[0], "teacher")
    changes = {field: str(folder), "goal": "case_b", "teacher.width": "2.0"}
    ended = run_py([*tiny_runs.arguments(toy_city, workdir, **changes), "--mode=plan"])
    tiny_runs.one_line(ended, f"--config.teacher.width=2.0 contradicts {folder}/record.json, which says 1.0")


def test_two_stages_that_contradict_each_other(chain, toy_city, workdir, tmp_path):
    folder = tiny_runs.stage_folder(chain[0], "student")
    other = edited(folder, tmp_path / "other", auxiliary_tap="layer7")
    named = {"replace.student": str(folder), "student.pretrained": str(other)}
    with pytest.raises(UserError, match=r"other/record.json says student.auxiliary_tap layer7, and .*json says layer6"):
        tiny_runs.run(tiny_runs.config(toy_city, goal=("student", "case_a"), **named), workdir, "plan")


def test_other_classes_are_one_line(chain, toy_city, tmp_path):
    seven = edited(tiny_runs.stage_folder(chain[0], "student"), tmp_path / "seven", class_names=list("abcdefg"))
    with pytest.raises(UserError, match=r"seven/record.json tells of 7 classes \(a, b, c, ...\), .* 19 \(road, "):
        tiny_runs.run(tiny_runs.config(toy_city, **{"eval.checkpoint": str(seven)}), tmp_path, "evaluate")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"stage": "student", "config": 3}', '{"stage": "x", "config": {}}']
)
def test_a_torn_record_is_one_line(chain, toy_city, tmp_path, content):
    folder = edited(tiny_runs.stage_folder(chain[0], "student"), tmp_path / "torn")
    (folder / "record.json").write_text(content)
    with pytest.raises(UserError, match="torn/record.json cannot be read or is no record of a stage"):
        tiny_runs.run(tiny_runs.config(toy_city, **{"eval.checkpoint": str(folder)}), tmp_path, "evaluate")


@pytest.mark.parametrize("changes", [{"width": "wide"}, {"auxiliary_tap": [6]}, {"arch": {}}], ids=str)
def test_a_record_that_says_nonsense_is_one_line(chain, toy_city, tmp_path, changes):
    folder = edited(tiny_runs.stage_folder(chain[0], "student"), tmp_path / "odd", **changes)
    with pytest.raises(UserError, match="odd/record.json says student.* which can be none"):
        tiny_runs.run(tiny_runs.config(toy_city, **{"eval.checkpoint": str(folder)}), tmp_path, "evaluate")


def test_from_python_a_network_of_the_same_shapes_is_refused(chain):
    folder = tiny_runs.stage_folder(chain[0], "student")
    weights.load(folder, Segmenter(arch="tiny", num_classes=19))
    with pytest.raises(UserError, match="record.json tells of normaliser 'bgr_minus_mean', and the .* 'rgb_mean_std'"):
        weights.load(folder, Segmenter(arch="tiny", num_classes=19, normaliser="rgb_mean_std"))


def test_a_stage_of_an_earlier_release_stays_finished_and_verifies(run_py, chain, toy_city, tmp_path):
    """Without model.safetensors, and a record that tells of no files, classes or licences."""
    workdir = tmp_path / "old"
    shutil.copytree(chain[0], workdir)
    for folder in (workdir / "stages").iterdir():
        (folder / "model.safetensors").unlink()
        record = json.loads((folder / "record.json").read_text())
        for name in ("class_names", "palette", "licences", "weight_files"):
            del record[name]
        (folder / "record.json").write_text(json.dumps(record))
    chosen = tiny_runs.config(toy_city, goal=tiny_runs.ALL_BUT_CONTINUED)
    text = tiny_runs.run(chosen, workdir, "plan")
    assert text.count("finished, reused") >= len(tiny_runs.ALL_BUT_CONTINUED) and "to be" not in text
    ended = run_py(["--mode=verify", f"--workdir={workdir}"])
    assert ended.code == 0, ended.stdout
    ended = run_py(["--mode=compare", str(chain[0]), str(workdir)])
    assert ended.code == 0 and "class_names" not in ended.stdout, ended.stdout


def test_keys_work_wherever_weights_are_named(run_py, chain, toy_city, tmp_path):
    torch = pytest.importorskip("torch", reason="a file of two networks is made with PyTorch")
    two = {name: tiny_runs.stage_folder(chain[0], name) for name in ("student", "teacher", "case_b")}
    torch.save({name: torch.load(folder / "model.pth") for name, folder in two.items()}, tmp_path / "all.pth")
    path = f"{tmp_path}/all.pth"
    for name, folder in two.items():
        chosen = tiny_runs.config(toy_city, **{"eval.checkpoint": f"{path}#{name}"})
        as_stage = tiny_runs.config(toy_city, **{"eval.checkpoint": str(folder)})
        assert score(tiny_runs.run(chosen, tmp_path, "evaluate")) == score(
            tiny_runs.run(as_stage, tmp_path, "evaluate")
        )
    for field in ("eval.checkpoint", "replace.teacher", "student.pretrained"):
        mode = "evaluate" if field == "eval.checkpoint" else "plan"
        for key, parts in (
            ("", ["3 networks whose names fit: student, teacher, case_b"]),
            ("#no", ["key no", "case_b"]),
        ):
            changes = {field: path + key, "goal": "case_b"}
            ended = run_py([*tiny_runs.arguments(toy_city, tmp_path / "run", **changes), f"--mode={mode}"])
            tiny_runs.one_line(ended, "all.pth", *parts)

    def planned(field, key):
        text = tiny_runs.run(
            tiny_runs.config(toy_city, goal=("case_b",), **{field: f"{path}#{key}"}), tmp_path / "run", "plan"
        )
        return re.findall(r"  ([0-9a-f]{8})\n", re.sub(r" +\n", "\n", text))

    for field in ("replace.teacher", "student.pretrained"):
        assert planned(field, "student") == planned(field, "student") != planned(field, "teacher")
