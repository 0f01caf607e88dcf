"""The README.md of a packed network: front matter as model hubs read it, and a page for people."""

import json
from collections.abc import Iterator, Mapping, Sequence

from dakd_jax.studies.kit.text_table import MISSING, TextTable

LIBRARY, TASK = "dakd_jax", "image-segmentation"
TOY, _TOY_SAID = "toy-city", "toy city"  # as a data set; what its licence says
# Names of licences as hubs know them, which a data set's licence may begin with.
_KNOWN = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
)
_PERCENT = (("mIoU", "miou"), ("mIoU of classes that occur", "miou_present"), ("pixel accuracy", "pixel_accuracy"))


def text(told: Mapping, name: str, measured: str = "") -> str:
    """The page.

    Args:
      told: what config.json says.
      name: of the model, for examples.
      measured: a section of Markdown with a heading of level 2, or ''.
    """
    parts = [_front_matter(told), _introduction(told, name), _loading(told, name), _scores(told), measured]
    parts += [_data(told), _use(told), _limits(told), _classes(told), _origin(told)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _front_matter(told: Mapping) -> str:
    """YAML; its strings are written as JSON, which is YAML as well."""
    licence = hub_licence(told["licences"].values())
    fields = [("license", licence)] + [("license_name", "licences-of-the-training-data")] * (licence == "other")
    fields += [("library_name", LIBRARY), ("pipeline_tag", TASK), ("tags", _tags(told))]
    fields += [("datasets", found)] if (found := data_sets(told["licences"])) else []
    lines = []
    for key, value in fields:
        several = isinstance(value, list)
        lines += [f"{key}:", *(f"- {json.dumps(one)}" for one in value)] if several else [f"{key}: {json.dumps(value)}"]
    return "\n".join(["---", *lines, "---"])


def _tags(told: Mapping) -> list[str]:
    origin = told["origin"]
    tags = ["semantic-segmentation", "jax", "flax", told["network"]["arch"]]
    tags += ["unsupervised-domain-adaptation"] * bool(origin.get("adaptation"))
    return tags + ["knowledge-distillation"] * bool(origin.get("teacher"))


def hub_licence(licences: Sequence[str | None]) -> str:
    """What the licences of all data come to, as hubs name it: one of _KNOWN, 'other', or 'unknown'."""
    words = {(licence or "").split(" ")[0].lower() for licence in licences}
    if words - {"", *_KNOWN} or len(words - {""}) > 1:
        return "other"
    return words.pop() if len(words) == 1 and words != {""} else "unknown"


def data_sets(licences: Mapping[str, str | None]) -> list[str]:
    """Names of what a network learnt from. Those without a licence may be other data in a known layout."""
    return sorted({TOY if _TOY_SAID in licence else name for name, licence in licences.items() if licence})


def _introduction(told: Mapping, name: str) -> str:
    (width, height), words = told["size"], []
    words += [
        f"Semantic segmentation of pictures in {len(told['classes'])} classes: `{told['network']['arch']}` "
        f"({told['parameters'] / 1e6:.2f} million parameters)."
    ]
    words += [f"Pictures of any size are resized to {width}x{height}, and answers have the picture's own size."]
    origin = told["origin"]
    if title := origin.get("title"):
        words += [f"Trained with dakd_jax as “{title}”."]
    if teacher := origin.get("teacher"):
        words += [f"It copies a teacher (`{teacher['arch']}`)."]
    if methods := origin.get("adaptation"):
        words += [f"It was adapted to unlabelled pictures of the target ({', '.join(methods)})."]
    picture = "![What the network says of the golden picture](golden/overlay.png)"
    return "\n\n".join([f"# {_inline(name)}", " ".join(words), picture])


def _loading(told: Mapping, name: str) -> str:
    files = sorted({of["from"] for of in told["plugins"].values()})
    plugins = f", plugins={json.dumps(files)}" if files else ""
    needs = f"\n\nIt needs a plugin, which does not lie in this folder: `{'`, `'.join(files)}`." if files else ""
    return f"""## How to load it
```python
import dakd_jax

net = dakd_jax.load({json.dumps(name)}{plugins})  # the path of this folder
labels = net.predict("street.jpg")  # uint8 [height, width]
```
`net.overlay(picture, labels)`, `net.probabilities(picture)` and `net.classes` tell more; `dakd predict` answers for
folders and films, `dakd export` writes ONNX, TFLite and others, `dakd check` compares the golden pair.{needs}"""


def _scores(told: Mapping) -> str:
    if not (scores := told["origin"].get("scores")):
        return ""
    columns = [("protocol", [one["protocol"] for one in scores])]
    columns += [(f"{title}, %", [_percent(one[key]) for one in scores]) for title, key in _PERCENT]
    return (
        "## Scores\nOn labelled pictures of the target that no training saw:\n\n"
        + TextTable.of_columns(columns).to_markdown()
    )


def _data(told: Mapping) -> str:
    licences = told["licences"]
    if not licences:
        return "## Data and licences\nWhat it was trained on, and under which licences, is not recorded."
    origin = told["origin"]
    pair = f" of the pair `{origin['data']}`" if origin.get("data") else ""
    lines = [f"## Data and licences\nTrained on data{pair}, each set named by the layout of its files:\n"]
    lines += [f"- {_inline(name)}: {_inline(licence or 'unknown')}" for name, licence in licences.items()]
    if (start := origin.get("starts_from", "")).startswith("trunk "):
        lines += [f"\nIt started from weights that were learnt elsewhere (`{start}`); their terms hold as well."]
    lines += ["\nWhoever uses or passes on the weights has to keep to these."]
    return "\n".join([*lines, "The code that trained them is under Apache-2.0."])


def _use(told: Mapping) -> str:
    return (
        "## Intended use\nResearch on domain adaptation and distillation, and first drafts of labels for pictures like "
        "the target's. It is no part of a system on which somebody's safety depends, and is not meant to watch people."
    )


def _limits(told: Mapping) -> str:
    width, height = told["size"]
    limits = [
        f"It sees pictures at {width}x{height}: what is a few pixels wide there is lost.",
        "Every pixel gets one of the classes below, also where none of them fits; probabilities are not calibrated.",
        "On pictures unlike those that it was trained on (another place, camera, weather or time of day) scores are "
        "lower, and have not been measured.",
    ]
    licences = told["licences"].values()
    if licences and all(licence and _TOY_SAID in licence for licence in licences):
        limits.insert(0, "It has seen rendered pictures of a toy city alone, and is of no use on photographs.")
    if told["origin"].get("adaptation"):
        limits.append("The target's labels were used neither for training nor for choosing the checkpoint.")
    return "## Limits\n" + "\n".join(f"- {limit}" for limit in limits)


def _classes(told: Mapping) -> str:
    names, scores = told["classes"], told["origin"].get("scores")
    columns = [("class", [" ".join(name.split()) for name in names]), ("label", [*map(str, range(len(names)))])]
    columns += [("colour", [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in told["palette"]])]
    if scores and len(scores[0].get("iou") or ()) == len(names):
        columns += [(f"IoU ({scores[0]['protocol']}), %", [*map(_percent, scores[0]["iou"])])]
    return "## Classes\n" + TextTable.of_columns(columns).to_markdown()


def _origin(told: Mapping) -> str:
    golden = told["golden"]
    words = (
        f"`golden/picture.png` ({_inline(golden['from'])}) and `golden/labels.png`, what the network said of it "
        f"({golden['classes']} classes). `config.json` holds all of this for programs, hashes of the files, and what "
        "the record of the training tells:"
    )
    return "\n".join(["## Golden pair and record", words, "", *_origin_lines(told["origin"])])


def _origin_lines(origin: Mapping) -> Iterator[str]:
    named = {"stage": "stage", "hash": "identity", "starts_from": "started from", "seed": "seed"}
    named |= {"weights_of_step": "step", "chosen_by": "checkpoint chosen by", "git_commit": "commit of dakd_jax"}
    found = [f"- {said}: `{origin[key]}`" for key, said in named.items() if key in origin]
    yield from found or ["- nothing: the weights came without a record"]


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f}"


def _inline(words: str) -> str:
    """In one line, with nothing that Markdown takes for a column, code or HTML."""
    words = " ".join(str(words).split())
    for sign, instead in (("|", "\\|"), ("<", "&lt;"), ("`", "'")):
        words = words.replace(sign, instead)
    return words
