"""What is wrong with a file, before the public functions turn it into a UserError that names the file."""


class Unreadable(Exception):
    """The message is a predicate, such as "is damaged ..."; the reader puts the file's name before it."""


def damaged(what: str) -> Unreadable:
    """Return the fault of a file whose bytes are inconsistent or stop too early; what is a short phrase."""
    return Unreadable(f"is damaged or truncated ({what}); download or save it again")


def shown(name: object) -> str:
    """Return a name that came out of a file as short printable text on one line."""
    text = name if isinstance(name, str) else type(name).__name__
    return repr(text if len(text) <= 80 else text[:77] + "...")
