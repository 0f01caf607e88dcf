"""What the pickle machine makes of the classes and functions that a file names."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Global:
    """The name of a class or function; it is never looked up."""

    module: str
    name: str


class Opaque:
    """An object of an unknown class: its state and entries are kept, none of its code is run."""

    __slots__ = ("kind", "state", "entries")

    def __init__(self, kind: object):
        self.kind = kind
        self.state = None
        self.entries = {}

    @property
    def attributes(self) -> dict:
        """The object's __dict__ as it was saved; empty where the state is something else."""
        state = self.state[0] if isinstance(self.state, tuple) and len(self.state) == 2 else self.state
        return state if isinstance(state, dict) else {}

    @property
    def kind_name(self) -> str:
        """The dotted name of its class, or of the function that would have made it."""
        return f"{self.kind.module}.{self.kind.name}" if isinstance(self.kind, Global) else "object"
