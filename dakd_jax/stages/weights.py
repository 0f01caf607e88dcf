"""Where the weights of a stage come from, and the files they are kept in when it is finished."""

import contextlib
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator

from dakd_jax.basics import records
from dakd_jax.basics.errors import UserError
from dakd_jax.models import weight_files
from dakd_jax.models.backbones import BACKBONES, Published
from dakd_jax.models.preprocessing import NORMALISERS
from dakd_jax.models.segmenter import Segmenter, blank_segmenter, init_segmenter
from dakd_jax.models.weight_files import Place, pretrained
from dakd_jax.models.weight_files.torch_files.reader import one_line
from dakd_jax.objectives import paradigms
from dakd_jax.stages import older_configs

FILE = "model.pth"  # finished weights: small, exact, and read by PyTorch as well
SAFE_FILE = "model.safetensors"  # the same once more, for everything else
FILES = (FILE, SAFE_FILE)
RECORD = "record.json"
IMAGENET = "imagenet"  # in place of a path: the trunk that a package or a cache of this machine holds
# Of a config: how a network uses its weights.
NETWORK_FIELDS = ("arch", "width", "auxiliary_tap", "normaliser", "main_tap", "output_stride", "decoder")
# Of them, those that older configs had not: they do not count where they are the backbone's own.
_ADDED_LATER = ("main_tap", "output_stride", "decoder")


def resolve(path: str | pathlib.Path) -> Place:
    """The file of a stage folder, of RUN#STAGE or of a path, and the '#KEY' after a file; UserError without one."""
    place = _of_run(weight_files.place(path))
    if place.path.is_dir():
        there = [file for file in FILES if os.path.exists(place.path / file)]
        if not there:
            raise UserError(f"{place.path} holds no {FILE}: name the folder of a finished stage, or a .pth file")
        return place._replace(path=place.path / there[0])
    if not os.path.exists(place.path):
        raise UserError(f"no checkpoint at {place.path}: name the folder of a finished stage, or a .pth file")
    return place


def _of_run(place: Place) -> Place:
    """RUN#STAGE as the folder of the finished stage; any other place as it is.

    Raises:
      UserError: the run has no finished stage that is called so, or several.
    """
    if not place.key or not (place.path / "stages").is_dir():
        return place
    there = [folder for folder, _ in finished(place.path)]
    named = [folder for folder in there if place.key in (folder.name, folder.name.rpartition("-")[0])]
    if len(named) == 1:
        return Place(named[0])
    there = ", ".join(folder.name for folder in named or there) or "none"
    if named:
        raise UserError(f"{place}: the run has finished {place.key} more than once; name one of {there}")
    raise UserError(f"{place}: the run has no finished stage {place.key}; finished there: {there}")


def finished(workdir: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict]]:
    """(folder, record) of each finished stage of a run whose record can be read and whose weights are there."""
    for file in sorted(workdir.glob(f"stages/*/{RECORD}")):
        with contextlib.suppress(OSError):
            record = records.read_json(file)
            if isinstance(record, dict) and record.get("status") == "finished" and (file.parent / FILE).is_file():
                yield file.parent, record


@functools.cache
def _hash_content(path: pathlib.Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_file(path: str) -> str:
    """sha256 in hex of a checkpoint's bytes; of these and the key for PATH#KEY."""
    found = resolve(path)
    with one_line(found.path):
        status = found.path.stat()
        content = _hash_content(found.path.resolve(), status.st_size, status.st_mtime_ns)
    return records.hash_json({"file": content, "key": found.key}) if found.key else content


def recorded(path: str | pathlib.Path) -> tuple[pathlib.Path, dict, str] | None:
    """What a finished stage tells of itself, when its folder or a file of weights in it is named.

    Returns:
      Path of the record, the record, and the network that it is about, 'student' or 'teacher'; None where no record
      lies there, or one that says nothing of the network.

    Raises:
      UserError: the record cannot be read.
    """
    place = _of_run(weight_files.place(path))
    file = place.path / RECORD if place.path.is_dir() else place.path.with_name(RECORD)
    if place.key or not (place.path.is_dir() or place.path.name in FILES) or not os.path.isfile(file):
        return None
    with one_line(file):
        record = records.read_json(file)
    if record is not None and isinstance(record.get("config"), dict):
        older_configs.modernise(record["config"])
    if record is not None and not {"stage", "config"} <= record.keys():  # it says nothing of the network
        return None
    stage = paradigms.STAGES.get(str(record["stage"])) if record else None
    config = record["config"] if record else None
    if not stage or not isinstance(config, dict) or not isinstance(config.get(stage.network), dict):
        if not place.path.is_dir():  # a file that happens to lie beside a record of something else
            return None
        raise UserError(
            f"{file} cannot be read or is no record of a stage: mend it, or copy the weights elsewhere and name the "
            "copy"
        )
    return file, record, stage.network


def network_fields(network) -> dict:
    """NETWORK_FIELDS of config.student or config.teacher, as plain data, with the backbone's own values where open.

    A field that is not there (a record may say anything) is None.
    """
    found = {field: network.get(field) for field in NETWORK_FIELDS}
    return {field: value or own for (field, value), own in zip(found.items(), _own(found).values(), strict=True)}


def _own(fields: dict) -> dict:
    """The values that a backbone has of its own; those given where it has none, or is not known."""
    arch = fields["arch"]
    if not isinstance(arch, str) or arch not in BACKBONES:
        return fields
    spec = BACKBONES[arch]
    own = {field: getattr(spec, field) for field in ("auxiliary_tap", "normaliser", "main_tap")}
    return fields | own | {"output_stride": spec.output_strides[0], "decoder": spec.own_decoder}


def counted_fields(group: str, network) -> dict:
    """The network_fields of config.student or config.teacher, `group`, as they count in identities, by name."""
    fields = network_fields(network)
    own = _own(fields)
    counted = {field: value for field, value in fields.items() if not (field in _ADDED_LATER and value == own[field])}
    named = dict(older_configs.as_counted(f"{group}.{field}", value) for field, value in counted.items())
    return {field.removeprefix(f"{group}."): value for field, value in named.items()}


def plugins(network) -> dict[str, str]:
    """{'backbone <name>': hash of its source, ...} of what config.student or config.teacher takes from plugins."""
    fields = network_fields(network)
    hashes = {
        f"{registry.kind} {fields[field]}": registry.source_hash(fields[field])
        for field, registry in (("arch", BACKBONES), ("normaliser", NORMALISERS))
    }
    return {name: source for name, source in hashes.items() if source}


def file_identity(path: str, group: str, network) -> str:
    """What a checkpoint file computes, as 'file:HASH': its bytes alone do not tell, say, the normaliser.

    Args:
      network: config.student or config.teacher, which `group` names.
    """
    found = {"weights": hash_file(path), "network": counted_fields(group, network)}
    sources = plugins(network)
    return "file:" + records.hash_json(found | ({"plugins": sources} if sources else {}))


def folder_name(name: str, identity: str) -> str:
    """The folder, below WORKDIR/stages, of what is known about a checkpoint file of this file_identity()."""
    return f"{name}-{identity.replace(':', '-')[:15]}"


def content_hash(variables: dict) -> str:
    """sha256 in hex of weights and batch statistics."""
    return records.hash_arrays(pretrained.to_state_dict(variables))


def load(path: str | pathlib.Path, model: Segmenter) -> dict:
    """{'params', 'batch_stats'} of a whole segmenter; a bare trunk is refused, and a stage of another network."""
    found = resolve(path)
    _refuse_another(path, model)
    variables, kind = pretrained.load_segmenter(found, blank_segmenter(model), whole=True, published=published(model))
    if kind == "trunk":
        raise UserError(f"{found} holds a trunk without segmentation heads; a finished network is wanted here")
    return variables


def _refuse_another(path: str | pathlib.Path, model: Segmenter) -> None:
    """Of the same shapes the weights would be read, and used wrongly."""
    if told := recorded(path):
        file, record, network = told
        for field, theirs in network_fields(record["config"][network]).items():
            ours = getattr(model, field)
            if theirs is not None and theirs != ours:
                raise UserError(
                    f"{file} tells of {field} {theirs!r}, and the network that is to be filled has {ours!r}"
                )


def published(model: Segmenter) -> Published:
    """What is known of published weights of a segmenter's backbone."""
    return model.spec.published


def save(path: pathlib.Path, variables: dict, model: Segmenter | None = None) -> None:
    """Writes finished weights, atomically; as safetensors where the path ends so, else for PyTorch.

    Args:
      model: with it, what the released code keeps beside the weights of its backbone is written too.
    """
    pretrained.save_segmenter(path, variables, published(model) if model else Published())


def save_finished(folder: pathlib.Path, variables: dict, model: Segmenter | None = None) -> None:
    """Writes all FILES of a finished stage; FILE comes last, since it is what makes a stage finished."""
    for file in reversed(FILES):
        save(folder / file, variables, model)


def read_start(path: str, model: Segmenter, template: dict) -> dict:
    """`template` with the trunk, or the whole segmenter, of a file in it."""
    return pretrained.load_segmenter(resolve(path), template, published=published(model))[0]


def trunk_file(network) -> str:
    """Path of the file that config.student.pretrained or config.teacher.pretrained means; '' for none.

    Raises:
      UserError: "imagenet", and this machine has no such file, or the backbone knows of none.
    """
    if network.pretrained != IMAGENET:
        return network.pretrained
    find = BACKBONES[network.arch].published.find_imagenet
    if find is None:
        raise UserError(
            f"pretrained={IMAGENET!r}: no place is known where ImageNet weights of {network.arch} may lie; name a file"
        )
    return str(find())


def start(model: Segmenter, network, seed: int, role: str) -> dict:
    """Weights that a network starts from: random by (seed, role), over them the file that config names."""
    variables = init_segmenter(model, seed, role)
    return read_start(trunk_file(network), model, variables) if network.pretrained else variables


def start_text(network) -> str:
    """For people: where a network starts."""
    return f"trunk {network.pretrained}" if network.pretrained else "random weights"
