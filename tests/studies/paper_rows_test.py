"""The paper's numbers as data, the rows made of them, and what the command line makes of a table's config."""

import csv
import pathlib
import re

import conftest
import pytest
import tiny_datasets
import tiny_runs
from rich.console import Console

from configs import camvid_case_d, demo_drn
from dakd_jax.basics.errors import UserError
from dakd_jax.commands.kit import command_line
from dakd_jax.objectives import paradigms
from dakd_jax.stages import settings
from dakd_jax.studies.kit import paper_numbers
from dakd_jax.studies.paper_tables import planning, rows
from data_pipelines.feeding.feed import Feed
from data_pipelines.reading import label_spaces

SHORT = {"traffic light": "light", "traffic sign": "sign"}
TABLE1 = "--config=configs/table1.py"


def arguments(root, workdir, config=TABLE1, **changes):
    """The command line of a table of tiny runs on the toy city."""
    return [config, *tiny_runs.arguments(root, workdir, **changes)[1:]]


def parsed(*given):
    return command_line.parse([TABLE1, *given])


def plan_of(root, workdir, *more, config=TABLE1, **changes):
    """The plan of a tiny table."""
    command = command_line.parse([*arguments(root, workdir, config, **changes), *more])
    table = rows.table(command.config.table, command.config.data.name)
    chosen = rows.chosen(table.rows, command.flags["rows"])
    seeds = command.flags["seeds"] or (command.config.seed,)
    return planning.make_plan(command.config, table, chosen, seeds, Feed, pathlib.Path(workdir), Console())


# The data


def test_the_data_are_the_supplement_s_table():
    path = conftest.SHARED / "paper" / "table1.csv"
    if not path.is_file():
        pytest.skip(f"no table at {path}")
    with open(path) as file:
        theirs = [row for row in csv.DictReader(file) if "unrecoverable" not in row["flag"]]
    ours = paper_numbers.table1()
    assert len(ours) == len(theirs) == 19
    for mine, row in zip(ours, theirs, strict=True):
        texts = [row["section"], *(row[f"lambda_{loss}"] for loss in paper_numbers.LOSSES)]
        weights = [float(text) if text else None for text in texts[1:]]
        assert [mine.section, *mine.weights] == [texts[0], *weights]
        assert (mine.number.miou, mine.number.pixel_accuracy) == (float(row["miou"]), float(row["macc"]))
        classes = [SHORT.get(name, name) for name in label_spaces.CITYSCAPES_CLASSES]
        assert mine.number.iou == tuple(float(row[name]) for name in classes)
        assert (mine.number.certainty == paper_numbers.CERTAIN) == row["flag"].startswith("verified")
        if "uncertain:" in row["flag"]:
            assert {SHORT.get(n, n) for n in mine.number.unsure} == set(row["flag"].split("uncertain:")[1].split(","))


def test_rows_that_cannot_be_read_are_left_out_or_marked():
    ours = paper_numbers.table1()
    assert 40.32 not in [one.number.miou for one in ours]
    assert all(any(weight for weight in one.weights) for one in ours)
    unsure = [one for one in ours if one.number.certainty == paper_numbers.UNSURE]
    assert [one.section for one in unsure] == ["iv", "iv"] and all(one.number.note for one in unsure)
    # Of all that are certain the classes average to the mIoU, up to rounding.
    for one in set(ours) - set(unsure):
        assert sum(one.number.iou) / 19 == pytest.approx(one.number.miou, abs=0.02)
    assert ours[-1].number[:2] == paper_numbers.PAPER_NUMBERS["bdd", "case_a"][:2]


# The rows


def test_every_row_s_weights_reach_its_losses_and_missing_ones_are_off():
    config = parsed("--config.loss.kl=0.9", "--config.loss.seg_auxiliary=0.3").config
    table = rows.ablation("bdd")
    assert [row.stage for row in table.rows] == ["teacher", "student", *["case_a"] * 19]
    for row, one in zip(table.rows[2:], paper_numbers.table1(), strict=True):
        made = planning.row_config(config, row, 7)
        weights = settings.stage_settings(made, paradigms.stage("case_a"), 19).weights
        assert tuple(weights.terms[name] for name in ("kl", "mse", "ce")) == tuple(
            weight or 0.0 for weight in one.weights
        )
        assert weights.distil_source == 1 and weights.distil_target == 0 and weights.seg_auxiliary == 0.3
        assert made.seed == 7 and made.goal == ("case_a",) and not {"table", "cluster", "scales"} & set(made)
    assert config.seed == 0 and "table" in config  # what the rows are made of stays


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("KL 0.4", ["i KL 0.4"]),
        ("ce 1.0", ["iii CE 1"]),
        ("vi,vii", ["vi MSE 0.01 CE 1", "vii KL 0.1 MSE 0.01 CE 1"]),
        ("v", ["v KL 0.1 CE 0.1", "v KL 0.1 CE 1"]),
        ("student, KL 0.10 CE  1", ["student", "v KL 0.1 CE 1"]),
    ],
)
def test_rows_are_chosen_by_section_losses_or_name(wanted, names):
    assert [row.name for row in rows.chosen(rows.ablation("toy").rows, wanted.split(","))] == names


def test_a_row_that_is_not_there():
    with pytest.raises(UserError, match="no row is called 'kl 0.5'; try .*kl 0.4"):
        rows.chosen(rows.ablation("bdd").rows, ["KL 0.5"])
    assert len(rows.chosen(rows.ablation("bdd").rows, [])) == 21
    with pytest.raises(UserError, match="config.table='mine'"):
        rows.table("mine", "bdd")


MAIN_STAGES = ["teacher", "source_only", "student", "case_a", "case_b", "case_c", "case_d"]


@pytest.mark.parametrize("name", ["ablation", "main"])
def test_cases_that_start_from_the_student_are_measured_from_it_trained_on(name):
    fresh, continued = (rows.table(name, "camvid", init_from) for init_from in ("", "student"))
    added = [row for row in continued.rows if row.name not in {row.name for row in fresh.rows}]
    assert [row.stage for row in added] == ["student_continued"] and not added[0].reference and not added[0].contest
    assert {row.reference for row in continued.rows} == {"", added[0].name}
    assert {row.reference.split()[-1] for row in fresh.rows if row.reference} == {"student"}
    with pytest.raises(UserError, match="init_from='teacher'"):
        rows.table(name, "camvid", "teacher")


def test_main_tables_are_of_both_benchmarks():
    table = rows.main("bdd")
    assert [row.changes["data.name"] for row in table.rows] == ["bdd"] * 7 + ["gta5"] * 7
    assert [row.stage for row in table.rows[:7]] == MAIN_STAGES
    assert {row.stage for row in table.rows if row.contest} == set(MAIN_STAGES[3:])
    published = {(row.changes["data.name"], row.stage): row.paper.miou for row in table.rows if row.paper}
    assert published == {("bdd", "student"): 38.3, ("bdd", "case_a"): 42.33, ("bdd", "case_d"): 44.15}
    assert len({row.contest for row in table.rows if row.contest}) == 2
    assert [row.stage for row in rows.chosen(table.rows, ["gta5 (d)", "teacher"])] == ["teacher", "teacher", "case_d"]
    assert {row.changes["data.toy.source"] for row in rows.main("toy").rows} == {"bdd100k", "gta5"}
    assert len(rows.main("camvid").rows) == len(rows.main("gta5").rows) == 7


# The scale of a benchmark


@pytest.mark.parametrize(("name", "module"), [("toy", demo_drn), ("camvid", camvid_case_d)])
def test_a_benchmark_brings_its_scale_and_the_user_s_fields_hold(name, module):
    theirs = module.get_config()
    command = parsed(f"--config.data.name={name}", "--config.train.steps=20", "--config.data.source_size=64,32")
    config = command.config
    assert config.student.width == theirs.student.width and config.train.teacher_steps == theirs.train.teacher_steps
    assert config.data.target_size == theirs.data.target_size and config.eval.metric == theirs.eval.metric
    assert config.optim.learning_rate == theirs.optim.learning_rate and config.data.mirror == theirs.data.mirror
    assert config.train.steps == 20 and config.data.source_size == (64, 32)
    assert config.title == "" and str(command.workdir) == f"runs/{name}" and "scales" not in config
    made = planning.row_config(config, rows.ablation(name).rows[-1], 0)
    assert made.train.steps == 20 and made.data.name == name


def test_without_it_the_paper_s_settings_stand():
    config = parsed("--config.train.steps=20").config
    assert (config.data.name, config.student.width, config.train.steps) == ("bdd", 1.0, 20)
    assert config.train.teacher_steps == 100_000 and "scales" not in config
    released = command_line.parse([f"{TABLE1}:released_code", "--config.data.name=toy"]).config
    assert released.loss.kl_reduction == "off" and released.student.width == demo_drn.get_config().student.width


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--config=configs/demo.py", "--rows=vi"], "--rows and --jobs go with a table"),
        (["--config=configs/demo.py", "--jobs=2"], "--rows and --jobs go with a table"),
        ([TABLE1, "--jobs=0"], "--jobs=0"),
        ([TABLE1, "--seeds=0,1", "--mode=evaluate"], "--seeds goes with --mode=train"),
    ],
)
def test_mistakes_of_the_command(given, told):
    with pytest.raises(UserError, match=re.escape(told)):
        command_line.parse(given)


# The plan


def test_all_rows_of_a_seed_share_one_teacher(toy_city, tmp_path):
    plan = plan_of(toy_city, tmp_path, "--seeds=0,1", "--rows=KL 0.4,vi", **{"train.eval_every": 0})
    assert len(plan.tasks) == 2 * 21 and len(plan.cells) == 2 * 21
    teachers = {seed: plan.cells["teacher", seed] for seed in (0, 1)}
    assert len(set(teachers.values())) == 2
    for (name, seed), key in plan.cells.items():
        parents = plan.tasks[key].parents
        assert parents == (() if name in ("teacher", "student") else (teachers[seed],)), name
    # What is wanted now: two rows and what they need, for each seed, parents first.
    titles = [task.title for task in plan.to_do()]
    rest = [f"{name}, seed {seed}" for name in ("i KL 0.4", "vi MSE 0.01 CE 1") for seed in (0, 1)]
    assert titles == ["teacher, seed 0", "teacher, seed 1", *rest]
    # The row with all three losses is the ordinary case (a).
    changes = {"train.eval_every": 0, "data.toy.source": "bdd100k", "data.mirror": True}
    config = tiny_runs.config(toy_city, goal=("case_a",), seed=1, **changes)
    usual = planning.Experiment(config, Feed(config.data), tmp_path, Console()).plan
    assert plan.cells["vii KL 0.1 MSE 0.01 CE 1", 1] == usual["case_a"].folder.name
    assert teachers[1] == usual["teacher"].folder.name


def test_main_tables_skip_the_benchmark_whose_data_are_missing(tmp_path):
    tiny_datasets.write_pair(tmp_path)
    command = command_line.parse(
        ["--config=configs/main_tables.py", f"--config.data.root={tmp_path}", "--config.data.loader=numpy"]
    )
    made = (command.config, rows.main("bdd"), rows.main("bdd").rows, (0,), Feed, tmp_path / "w", Console())
    plan = planning.make_plan(*made)
    assert {name.split()[0] for name in plan.missing} == {"gta5"} and len(plan.missing) == 7
    assert all("no folder" in why and "gta5" in why for why in plan.missing.values())
    assert [plan.tasks[key].planned.name for key in plan.wanted] == MAIN_STAGES
    command.config.data.root = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no folder"):
        planning.make_plan(*made)


def test_a_table_needs_something_to_score_on(toy_city, tmp_path):
    tiny_datasets.save(tmp_path / "mine" / "a.png", tiny_datasets.picture(0, (64, 48)))
    changes = {"data.target_dir": str(tmp_path / "mine"), "data.cityscapes_dir": str(tmp_path / "nothing")}
    with pytest.raises(UserError, match="needs labelled pictures"):
        plan_of(toy_city, tmp_path / "w", **changes)
