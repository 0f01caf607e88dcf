"""Answers to the training pictures that another program made: a folder with a manifest, answers.json.

The format is in docs/any_teacher.md. It is data and no code: arrays with pickled objects in them are refused.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.objectives.context import SOURCE, TARGET
from dakd_jax.training.teaching import forms
from dakd_jax.training.teaching.answer_arrays import array, existing, header, sample, told
from dakd_jax.training.teaching.forms import HandedIn

MANIFEST, FORMAT = "answers.json", 1
DTYPES = ("float16", "float32")
CONFIDENCE = 0.9  # of labels that come without any
_LAYOUTS = ("hwc", "chw")
_KEYS = ("format", "kind", "classes", "class_map", "layout", "domains", "confidence", "made_by", "licence")
_OF_DOMAIN = ("folder", "size", "split", "confidence_folder")
_SAMPLED, _THREADS = 8, 8
_SUM_OFF = 0.02  # of probabilities: those of float16 do not add up to more digits


def is_one(path: str) -> bool:
    """Whether a path, as of config.replace.teacher, names such a folder."""
    return bool(path) and (pathlib.Path(path).expanduser() / MANIFEST).is_file()


@dataclasses.dataclass(frozen=True)
class DomainAnswers:
    """The answers to a domain's pictures.

    Attributes:
      folder: of the files, one a picture, called as it.
      confidence_folder: of PNG files with the confidence of labels; None for none.
      form: what is in them.
    """

    folder: pathlib.Path
    confidence_folder: pathlib.Path | None
    form: HandedIn

    def files(self, name: str) -> list[pathlib.Path]:
        """Of a picture: its answer, and its confidence where there is one. Raises UserError where one is missing."""
        endings = (".png",) if self.form.kind == forms.LABELS else (".npy", ".npz")
        found = [existing(self.folder, name, endings)]
        return found + ([existing(self.confidence_folder, name, (".png",))] if self.confidence_folder else [])

    def check(self, name: str) -> None:
        """Compares what the headers of a picture's files say. Raises UserError."""
        for path in self.files(name):
            shape, dtype = told(path, header)
            self._require(path, shape, dtype)

    def _require(self, path: pathlib.Path, shape: tuple[int, ...], dtype: str) -> None:
        height, width, classes = self.form.shape
        numbers = (classes, height, width) if self.form.channels_first else (height, width, classes)
        wanted = (height, width) if self.form.kind == forms.LABELS else numbers
        if tuple(shape) != wanted or dtype != self.form.dtype:
            raise UserError(
                f"{path}: {'x'.join(map(str, shape))} of {dtype}; expected {'x'.join(map(str, wanted))} of "
                f"{self.form.dtype}, as {MANIFEST} and the first file say"
            )

    def load(self, name: str) -> list[np.ndarray]:
        """The arrays of a picture's files. Raises UserError for one that is damaged or holds what cannot be."""
        found = []
        for path in self.files(name):
            content = told(path, array)
            self._require(path, content.shape, str(content.dtype))
            if problem := self._problem(content) if not found else "":
                raise UserError(f"{path}: {problem}; mend the file")
            found.append(content)
        return found

    def _problem(self, content: np.ndarray) -> str:
        if self.form.kind == forms.LABELS:
            known = np.array([ours >= 0 for ours in self.form.ours])
            bad = [int(value) for value in np.unique(content) if value >= len(known) or not known[value]]
            return f"the class {bad[0]} at some pixel is none of those that mean one of the run's" if bad else ""
        if not np.isfinite(content).all():
            return "some of its numbers are not finite"
        if self.form.kind == forms.PROBABILITIES:
            total = content.sum(axis=0 if self.form.channels_first else -1, dtype=np.float64)
            if content.min() < 0 or np.abs(total - 1).max() > _SUM_OFF:
                return "expected probabilities, none below 0, that add up to 1 over the classes at every pixel"
        return ""

    def row(self, name: str, mirrored: bool) -> np.ndarray:
        """[entries] of the form: the answer to a picture or to its mirror image."""
        across = 2 if self.form.channels_first and self.form.kind != forms.LABELS else 1
        arrays = self.load(name)
        return np.concatenate([(np.flip(one, across) if mirrored else one).ravel() for one in arrays])


@dataclasses.dataclass(frozen=True)
class AnswerFolder:
    """A folder whose manifest was read.

    Attributes:
      path: of the folder.
      manifest: its content.
      domains: those that it has answers on.
    """

    path: pathlib.Path
    manifest: dict
    domains: Mapping[str, DomainAnswers]

    @property
    def made_by(self) -> str:
        """Free text on where the answers come from."""
        return str(self.manifest.get("made_by", ""))

    @property
    def licence(self) -> str | None:
        """In a line; None where it is unknown."""
        return str(self.manifest["licence"]) if self.manifest.get("licence") else None

    def require(self, domain: str, names: Sequence[str], stage: str) -> DomainAnswers:
        """The answers on a domain, when there is one to each of its pictures and a sample of them can be used.

        Raises:
          UserError: an answer that is missing, of another size, or not what the manifest says.
        """
        if domain not in self.domains:
            raise UserError(
                f"{self.path / MANIFEST} has no answers on the {domain}, which {stage} distils on; add them under "
                f"'domains', or choose another --config.goal"
            )
        answers = self.domains[domain]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(answers.check, names))
        for name in names[:: max(1, len(names) // _SAMPLED)]:
            answers.load(name)
        return answers

    def content_hash(self, names: Mapping[str, Iterable[str]]) -> str:
        """sha256 in hex of what the answers to these pictures of domains are.

        Of each file the size and 4 KiB from its start, middle and end count, as of the pictures: see
        data_pipelines/reading/fingerprint.py.
        """
        counted = {key: value for key, value in self.manifest.items() if key not in ("made_by", "licence")}
        digest = hashlib.sha256(json.dumps(counted, sort_keys=True).encode())
        for domain in sorted(set(names) & set(self.domains)):
            files = (self.domains[domain].files(name) for name in names[domain])
            with ThreadPoolExecutor(_THREADS) as pool:
                for samples in pool.map(lambda paths: b"".join(told(path, sample) for path in paths), files):
                    digest.update(samples)
        return digest.hexdigest()


def read(path: str, class_names: tuple[str, ...]) -> AnswerFolder:
    """The answers in a folder for a run with these classes; looks into the manifest, and one file of each domain.

    Raises:
      UserError: the manifest is none, or does not fit.
    """
    folder = pathlib.Path(path).expanduser()
    manifest = records.read_json(folder / MANIFEST)
    if manifest is None:
        raise UserError(f"{folder / MANIFEST} cannot be read as JSON; docs/any_teacher.md says what it holds")
    refuse = functools.partial(_refuse, folder / MANIFEST)
    _known(refuse, manifest, _KEYS, "")
    kind, layout = manifest.get("kind"), manifest.get("layout", "hwc")
    if manifest.get("format") != FORMAT:
        raise refuse(f"'format' is {manifest.get('format')!r}", f"{FORMAT}")
    if kind not in forms.KINDS:
        raise refuse(f"'kind' is {kind!r}", f"one of {', '.join(forms.KINDS)}")
    if layout not in _LAYOUTS:
        raise refuse(f"'layout' is {layout!r}", f"one of {', '.join(_LAYOUTS)}")
    ours = _class_map(refuse, manifest, class_names)
    sure = manifest.get("confidence", CONFIDENCE)
    if not isinstance(sure, (int, float)) or not 1 / len(class_names) < sure <= forms.MOST_SURE:
        raise refuse(f"'confidence' is {sure!r}", f"a number above 1/{len(class_names)}, at most {forms.MOST_SURE}")
    domains = manifest.get("domains")
    if not isinstance(domains, dict) or not domains or not domains.keys() <= {SOURCE, TARGET}:
        raise refuse("'domains' is not such", "'source', 'target' or both, each with 'folder' and 'size'")
    made = functools.partial(_domain, refuse, folder, kind=kind, channels_first=layout == "chw", ours=ours, sure=sure)
    return AnswerFolder(
        folder, manifest, {name: made(name, of, num_classes=len(class_names)) for name, of in domains.items()}
    )


def _domain(refuse, folder, name, of, *, kind, channels_first, ours, num_classes, sure) -> DomainAnswers:
    if not isinstance(of, dict):
        raise refuse(f"the domain {name!r} is not such", "'folder' and 'size'")
    _known(refuse, of, _OF_DOMAIN, f"domains.{name}.")
    if of.get("split", "train") != "train":
        raise refuse(f"domains.{name}.split is {of['split']!r}", "'train': the pictures that a student learns from")
    size = of.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise refuse(f"domains.{name}.size is {size!r}", "[width, height] of its arrays")
    arrays = _inside(refuse, folder, of.get("folder", name), "folder")
    confidences = _inside(refuse, folder, of.get("confidence_folder", ""), "confidence_folder")
    if confidences and kind != forms.LABELS:
        raise refuse(f"domains.{name}.confidence_folder is there", "it with 'labels' alone")
    form = HandedIn(
        kind=kind,
        shape=(size[1], size[0], len(ours)),
        channels_first=channels_first,
        ours=ours,
        num_classes=num_classes,
        dtype="uint8" if kind == forms.LABELS else _dtype(refuse, arrays, name),
        confidence=0.0 if confidences or kind != forms.LABELS else float(sure),
    )
    return DomainAnswers(arrays, confidences, form)


def _dtype(refuse, folder: pathlib.Path, name: str) -> str:
    """Of the arrays, which are all of that of some file."""
    file = next((path for path in folder.rglob("*") if path.suffix in (".npy", ".npz")), None)
    if file is None:
        raise refuse(f"domains.{name}: no .npy and no .npz file in {folder}", "one for each training picture")
    dtype = told(file, header)[1]
    if dtype not in DTYPES:
        raise UserError(f"{file}: an array of {dtype}; expected one of {', '.join(DTYPES)}: write it with astype")
    return dtype


def _class_map(refuse, manifest: dict, class_names: tuple[str, ...]) -> tuple[int, ...]:
    """Of each of their classes the train id that it means, -1 for none."""
    classes, means = manifest.get("classes"), manifest.get("class_map", {})
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes) or not classes:
        raise refuse("'classes' is not such", "the names of the classes in the order of their numbers")
    if not isinstance(means, dict) or (unknown := [one for one in means if one not in classes]):
        raise refuse(
            f"'class_map' names {unknown[0]!r}" if isinstance(means, dict) else "'class_map'", "classes of 'classes'"
        )
    found = []
    for name in classes:
        meant = means.get(name, name)
        if meant and meant not in class_names:
            raise refuse(
                f"the class {name!r} means {meant!r}, which is none of the run's",
                f"under 'class_map' one of {', '.join(class_names)}, or '' for none",
            )
        found.append(class_names.index(meant) if meant else -1)
    if missing := [name for i, name in enumerate(class_names) if i not in found]:
        raise refuse(
            f"no class means the run's {missing[0]!r}", "one for each of the run's classes; add it, or map one"
        )
    return tuple(found)


def _refuse(file: pathlib.Path, found: str, expected: str) -> UserError:
    return UserError(f"{file}: {found}; expected {expected} (docs/any_teacher.md)")


def _known(refuse, given: dict, keys: Sequence[str], prefix: str) -> None:
    if others := [key for key in given if key not in keys]:
        raise refuse(f"'{prefix}{others[0]}' is unknown", ", ".join(keys))


def _inside(refuse, folder: pathlib.Path, name: str, key: str) -> pathlib.Path | None:
    """A folder in the folder."""
    if not name:
        return None
    if not isinstance(name, str) or pathlib.PurePath(name).is_absolute() or ".." in pathlib.PurePath(name).parts:
        raise refuse(f"'{key}' is {name!r}", "the name of a folder beside the manifest")
    return folder / name


class HandedInTeacher:
    """asking.Answering from a folder.

    Args:
      answers: of the domain.
      names: of its training pictures, by index.
    """

    def __init__(self, answers: DomainAnswers, names: Sequence[str]):
        self.form, self._answers, self._names = answers.form, answers, names

    def of(self, which: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        return np.stack([self._answers.row(self._names[index], bool(mirrored)) for index, mirrored in which])

    def close(self) -> None:
        """Nothing is open."""
