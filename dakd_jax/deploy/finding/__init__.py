"""From a path to a network: which file, and what its record, or the caller, says of it."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from dakd_jax.basics import plugs, records
from dakd_jax.basics.errors import UserError
from dakd_jax.deploy.finding import keywords, packed
from dakd_jax.models import weight_files
from dakd_jax.models.backbones import BACKBONES
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import Place
from dakd_jax.models.weight_files.torch_files.reader import one_line
from dakd_jax.stages import settings, weights

_OF_ANY = ("classes", "palette", "bit_depth", "plugins")  # what may be said of networks with a record too
_NOT_SAID = dict.fromkeys(weights.NETWORK_FIELDS, "") | {"width": 1.0, "output_stride": 0, "batch_norm": "trained"}
_HEAD = "seg1.bias"  # of a file of weights: as many values as classes


@dataclasses.dataclass(frozen=True)
class Found:
    """A network that is known, and not loaded yet.

    Attributes:
      place: of its weights.
      model: the architecture.
      size: (width, height) of the target's pictures in its training, the input under the protocol 'native'.
      classes: names.
      colours: uint8 [C, 3] RGB.
      bit_depth: how many bits the values of wide pictures use, 0 for unknown.
      licences: {data set: licence in a line, None where it is unknown} of what it was trained on.
    """

    place: Place
    model: Segmenter
    size: tuple[int, int]
    classes: tuple[str, ...]
    colours: np.ndarray
    bit_depth: int = 0
    licences: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def identity(self) -> dict:
        """All that its answers depend on, as plain data."""
        network = {field: getattr(self.model, field) for field in weights.NETWORK_FIELDS}
        told = {"weights": weights.hash_file(self.place), "network": network, "size": self.size}
        return records.plain(
            told | {"classes": self.classes, "colours": self.colours.tolist(), "bit_depth": self.bit_depth}
        )


def find(path: str | os.PathLike, **said) -> Found:
    """The network that a path means; see dakd_jax.load, also for what may be said.

    Raises:
      UserError: there is none, or several; or it is not known what network it is; or what is said cannot be.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{path!r} is no path; name a run, RUN#STAGE, the folder of a stage or a file of weights")
    network = keywords.checked(said)
    classes, palette, bit_depth, plugins = (network.pop(name, None) for name in _OF_ANY)
    place = _of_goal(weight_files.place(path))
    if folder := packed.folder_of(place):
        found = _of_pack(folder, classes=classes, given=network, plugins=plugins)
    elif told := weights.recorded(place):
        found = _of_record(place, *told, classes=classes, given=network, plugins=plugins)
    else:
        size = network.pop("size", None)
        found = _of_caller(path, place, classes=classes, size=size, network=network, plugins=plugins)
    changes = {"bit_depth": bit_depth} if bit_depth is not None else {}
    if palette is not None:
        changes["colours"] = _palette(palette, len(found.classes))
    return dataclasses.replace(found, **changes)


def _of_goal(place: Place) -> Place:
    """A run's folder as the last stage of its goal; any other place as it is.

    Runs of several goals may share a folder: that of the network that was finished last counts.
    """
    if place.key or not (place.path / "stages").is_dir():
        return place
    finished = list(weights.finished(place.path))
    if not finished:
        raise UserError(f"{place.path} holds no finished stage; train it to the end, or name another run")
    folder, record = max(finished, key=lambda one: (one[0] / weights.FILE).stat().st_mtime_ns)
    goal = (record.get("config") or {}).get("goal")
    if not isinstance(goal, (list, tuple)) or not goal:
        raise UserError(f"{folder / weights.RECORD} does not say the run's goal; name {place.path}#STAGE")
    return Place(place.path, str(goal[-1]))


def _of_record(place: Place, file, record: dict, group: str, *, classes, given: Mapping, plugins) -> Found:
    """What a stage's own record says. Those of earlier releases may lack the classes and colours."""
    _refuse_said(file, given)
    config = ConfigDict(record["config"])
    _provide(config[group], settings.words(config.get("plugins", ()) if plugins is None else plugins))
    names = record.get("class_names")
    resolved = weights.resolve(place)
    if not names:
        names = classes or _count_classes(resolved)
    else:
        _refuse_other_classes(file, classes, names)
    names = _names(names)
    try:
        settings.check_network(group, config[group])
        model, size = settings.segmenter(config[group], len(names)), settings.training_size(config, group)
        bit_depth = int(config.data.get("bit_depth", 0))
    except (KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{file} does not say all that its network is ({error}): mend the record") from error
    colours = _palette(record.get("palette") or _made_up(len(names)), len(names))
    return Found(resolved, model, size, names, colours, bit_depth, record.get("licences") or {})


def _of_pack(folder: pathlib.Path, *, classes, given: Mapping, plugins) -> Found:
    """What the config.json of a folder of dakd pack says. A plugin is code, and so is loaded only where it is named."""
    file, told = folder / packed.CONFIG, packed.read(folder)
    _refuse_said(file, given)
    try:
        fields = ConfigDict(_NOT_SAID | told["network"])
        if plugins:
            _provide(fields, settings.words(plugins))
        elif not _is_known(fields):
            raise UserError(_wants_plugin(folder, told["plugins"]))
        _refuse_other_classes(file, classes, told["classes"])
        settings.check_network("student", fields)
        names, size = _names(told["classes"]), tuple(map(int, told["size"]))
        model, colours = settings.segmenter(fields, len(names)), _palette(told["palette"], len(names))
        place = Place(folder / packed.WEIGHTS)
        return Found(place, model, size, names, colours, int(told["bit_depth"]), dict(told["licences"]))
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} does not say all that its network is ({error!r}): pack the network again") from error


def _wants_plugin(folder: pathlib.Path, plugins: Mapping) -> str:
    what = " and ".join(f"its {name} comes from {told['from']}" for name, told in plugins.items())
    files = ",".join(sorted({told["from"] for told in plugins.values()}))
    return (
        f"{folder} needs a plugin, which is code and does not lie in it: {what or 'which one it does not say'}; name "
        f"the file: dakd_jax.load({str(folder)!r}, plugins={files.split(',')}), or --config.plugins={files}"
    )


def _refuse_said(file: pathlib.Path, given: Mapping) -> None:
    if said := [name for name, value in given.items() if value]:
        raise UserError(f"{file} says what this network is: leave {', '.join(f'{name}=' for name in said)} out")


def _refuse_other_classes(file: pathlib.Path, classes, names: Sequence[str]) -> None:
    if classes and _names(classes) != tuple(names):
        raise UserError(f"{file} tells of {len(names)} classes: leave classes= out")


def _of_caller(path, place: Place, *, classes, size, network: Mapping, plugins) -> Found:
    """Of weights without a record beside them."""
    resolved = weights.resolve(place)
    if not network.get("arch") or not size:
        raise UserError(
            f"{resolved}: no record beside it says what network it is; say it: dakd_jax.load({str(path)!r}, "
            "arch='drn_d_22', size=(1280, 720)), where size is the (width, height) of its training pictures; dakd "
            "predict takes --config.student.arch and --config.data.target_size"
        )
    fields = ConfigDict(_NOT_SAID | {field: value for field, value in network.items() if value is not None})
    _provide(fields, settings.words(plugins or ()))
    settings.check_network("student", fields)
    names = _names(classes or _count_classes(resolved))
    model = settings.segmenter(fields, len(names))
    return Found(resolved, model, size, names, _palette(_made_up(len(names)), len(names)))


def _provide(network, plugins: Sequence[str]) -> None:
    """Loads plugins where the network wants one; those that only its training wanted need not be there."""
    if not _is_known(network):
        plugs.load(plugins)


def _is_known(network) -> bool:
    """Whether the backbone and normaliser are this project's own, or of a plugin that was loaded."""
    return network.get("arch") in BACKBONES and (not network.get("normaliser") or network.normaliser in NORMALISERS)


def _count_classes(place: Place) -> int:
    """As a file's main head has them. Raises UserError where it does not tell."""
    with one_line(place.path):
        heads = {tuple(one.tensor.shape) for one in weight_files.scan(place.path) if _is_head(one.full_name, place.key)}
    if len(heads) != 1 or len(shape := heads.pop()) != 1:
        raise UserError(f"{place}: the file does not tell how many classes the network has; say it: classes=19")
    return shape[0]


def _is_head(name: str, key: str) -> bool:
    return name.endswith(_HEAD) and (not key or key in name)


def _names(classes: int | Sequence[str]) -> tuple[str, ...]:
    """Names of classes; of a number of them, numbers."""
    if isinstance(classes, int):
        classes = [f"class {number}" for number in range(classes)]
    if isinstance(classes, str) or not 2 <= len(classes) <= 255:
        raise UserError(f"classes={classes!r}: expected 2 to 255 names, or how many they are")
    return tuple(map(str, classes))


def _palette(colours: Sequence, count: int) -> np.ndarray:
    try:
        found = np.array(colours)
    except (ValueError, TypeError, OverflowError):
        found = np.zeros(0)
    if found.shape != (count, 3) or found.dtype.kind not in "iu" or not ((found >= 0) & (found < 256)).all():
        raise UserError(
            f"the palette is no table of {count} colours (red, green, blue, each 0 to 255), one for a class"
        )
    return found.astype(np.uint8)


def _made_up(count: int) -> list[list[int]]:
    """Colours that are easily told apart, those of PASCAL VOC: the bits of a number, dealt out to the channels."""
    return [
        [sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)]
        for number in range(1, count + 1)
    ]
