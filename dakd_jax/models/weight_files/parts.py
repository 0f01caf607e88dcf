"""Which part of a file is the network that is wanted: by its names, wherever in the file and behind whatever prefix.

A file's names are those of its dictionaries and, in these, of its tensors, joined by dots: 'state_dict.model.conv.bias'
is `conv.bias` behind the prefix `state_dict.model.`, whether that is two dictionaries, one, or none.
"""

import bisect
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dakd_jax.basics.errors import UserError

# What tools put between the parts of a name when they wrap a module that lies inside another one.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_DEEPEST_WANTED = 14  # parts of a name that are compared; those of a network here are 6, and wrappers between them
TOP = "."  # picks the names that stand in the file without any prefix


@dataclasses.dataclass(frozen=True)
class NetworkNames:
    """The names that a network wants.

    Attributes:
      kind: for the caller.
      required, optional: names.
      unused: of names that may stand beside them.
      inside: the prefixes in another network under which these names are only a part of it, with what tells that one.
    """

    kind: str
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    unused: re.Pattern = re.compile(r"(?!)")
    inside: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.required or name in self.optional

    @functools.cached_property
    def first_names(self) -> frozenset[str]:
        """What the names begin with, before the first dot."""
        return frozenset(name.split(".")[0] for name in (*self.required, *self.optional))


@dataclasses.dataclass(frozen=True)
class FilePart:
    """Names of a file that are, or might have been, those of a network.

    Attributes:
      network: which one.
      prefix: in front of them in the file, with its dot.
      names: as wanted -> in the file.
      unknown: in the file, beside them; missing: as wanted.
    """

    network: NetworkNames
    prefix: str
    names: Mapping[str, str]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.unknown and not self.missing

    @property
    def fits_alone(self) -> bool:
        """Whether it fits but for names of modules that the network has not, as `criterion.` or `D1.`."""
        own = self.network.first_names
        return not self.missing and all(name[len(self.prefix) :].split(".")[0] not in own for name in self.unknown)

    @property
    def key(self) -> str:
        """What picks it, after a '#'."""
        return self.prefix.rstrip(".") or TOP


def choose(
    names: Mapping[str, str],
    networks: Sequence[NetworkNames],
    *,
    file: str,
    key: str = "",
    shapes_fit: Callable[[FilePart], bool],
    first_alone: bool = False,
) -> FilePart:
    """The part of a file whose names fit one of the networks; of several the only one whose shapes fit too.

    Where none fits, the part that comes nearest, for the message.

    Args:
      names: in the file -> the dictionary that each lies in, see the module's docstring.
      file: what messages call it.
      key: what the user picked, '' for nothing.
      first_alone: where the first network is found, the others are not looked for.

    Raises:
      UserError: several fit, or `key` names nothing.
    """
    found = [part for network in networks for part in _parts(names, network)]
    # Who picks a part by its whole key wants it without what else stands there.
    exact = [dataclasses.replace(part, unknown=()) for part in found if part.key == key and part.fits_alone]
    if key and not exact:
        names = _picked(names, file, key, [part.key for part in found if part.fits_alone])
        found = [part for network in networks for part in _parts(names, network)]
    fits = exact or [part for part in found if part.fits]
    if first_alone:
        fits = [part for part in fits if part.network is networks[0]] or fits
    if len(fits) > 1:
        fits = [part for part in fits if shapes_fit(part)] or fits
    if len(fits) > 1:
        keys = list(dict.fromkeys(part.key for part in fits))
        raise UserError(
            f"{file} holds {len(fits)} networks whose names fit: {names_shown(keys)}; name one of them as "
            f"{file}#{name_shown(keys[0])}"
        )
    if fits:
        return fits[0]
    nothing = [FilePart(network, "", {}, tuple(names), tuple(sorted(network.required))) for network in networks][:1]
    return max([*found, *nothing], key=lambda part: (len(part.names), -len(part.unknown)))


def _picked(names: Mapping[str, str], file: str, key: str, known: list[str]) -> dict[str, str]:
    """The names under a key: what the file's names begin with, or the one thing in it that ends so."""
    if key == TOP:
        found = {name: where for name, where in names.items() if not where}
    else:
        found = {name: where for name, where in names.items() if name.startswith(f"{key}.")}
    ends = {name[: name.index(f".{key}.") + len(key) + 2] for name in names if f".{key}." in name}
    if not found and len(ends) == 1:
        (start,) = ends
        found = {name: where for name, where in names.items() if name.startswith(start)}
    if not found:
        there = list(dict.fromkeys((*known, *_keys(names))))
        raise UserError(
            f"{file} holds nothing under the key {name_shown(key)}; its keys are "
            f"{names_shown(there) or f'{TOP} (the top) alone'}"
        )
    return found


def _keys(names: Mapping[str, str]) -> Iterator[str]:
    """What can be picked, roughly: the dictionaries, and what the names in these begin with."""
    wheres = dict.fromkeys(names.values())
    yield from filter(None, wheres)
    for name, where in names.items():
        inner = name.removeprefix(f"{where}.") if where else name
        if "." in inner:
            yield ".".join(filter(None, (where, inner.split(".")[0])))


def _parts(names: Mapping[str, str], network: NetworkNames) -> list[FilePart]:
    """A part for each prefix behind which a name of the network stands; those inside a larger network left out."""
    matched: dict[str, dict[str, str]] = {}
    for name in names:
        for prefix, rest in _splits(name):
            if rest in network:
                matched.setdefault(prefix, {}).setdefault(rest, name)
    matched = {prefix: found for prefix, found in matched.items() if not _inside(prefix, names, network)}
    ordered = sorted(names)
    whole = [prefix for prefix, found in matched.items() if network.required <= found.keys()]
    best = sorted(matched, key=lambda prefix: -len(matched[prefix]))[:1]
    return [_part(network, prefix, matched[prefix], names, ordered, whole) for prefix in dict.fromkeys([*whole, *best])]


def _part(network, prefix, found, names, ordered, whole) -> FilePart:
    first = bisect.bisect_left(ordered, prefix)
    taken, wheres = set(found.values()), {names[name] for name in found.values()}
    others = tuple(one for one in whole if one != prefix and one.startswith(prefix))  # copies, as teacher. or ema.
    unknown = []
    for name in ordered[first:]:
        if not name.startswith(prefix):
            break
        beside = name in taken or names[name] not in wheres or (others and name.startswith(others))
        if not beside and not network.unused.match(name[len(prefix) :]):
            unknown.append(name)
    missing = tuple(name for name in sorted(network.required) if name not in found)
    order = {name: i for i, name in enumerate(names)} if len(unknown) > 1 else {}
    return FilePart(network, prefix, found, tuple(sorted(unknown, key=lambda name: order.get(name, 0))), missing)


def _inside(prefix: str, names: Mapping[str, str], network: NetworkNames) -> bool:
    for inner, sign in network.inside.items():
        segments = prefix.split(".")[:-1]
        while segments and segments[-1] in _WRAPPERS:
            segments.pop()
        outer = ".".join([*segments, ""])
        if outer.endswith(inner) and any(name.startswith(outer.removesuffix(inner) + sign) for name in names):
            return True
    return False


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """(prefix, rest) of a name at each of its dots; wrappers in the rest are left out."""
    segments = name.split(".")
    for cut in range(max(0, len(segments) - _DEEPEST_WANTED), len(segments)):
        if segments[cut] not in _WRAPPERS:
            rest = ".".join(segment for segment in segments[cut:] if segment not in _WRAPPERS)
            yield ".".join([*segments[:cut], ""]), rest


def name_shown(name: str) -> str:
    """A name out of a file or a command, short and on one line."""
    short = name if len(name) <= 80 else f"{name[:77]}..."
    return short if short.isprintable() and short else repr(short)


def names_shown(names: Iterable[str], most: int = 8) -> str:
    """Names out of a file, the first ones of many."""
    names = list(names)
    return ", ".join(map(name_shown, names[:most])) + ", ..." * (len(names) > most)
