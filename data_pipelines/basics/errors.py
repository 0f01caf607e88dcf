"""The one exception that stands for a mistake in a dataset or its settings."""


class DataError(ValueError):
    """A file, folder or setting of a dataset is wrong; the message is one line and says the way out.

    run.py prints the message without a traceback and exits with code 2.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # names and values of a user's may hold line breaks


class UnreadableFile(DataError):
    """A picture, label or record is missing, cut or damaged, or a label is of another size than its picture.

    Training leaves such an example out, see unreadable.py; everywhere else it is as bad as any DataError.
    """


class AccessError(DataError):
    """The system refuses to look at a file or folder of the data: no permission, a disk's fault, a circle of links.

    Nobody knows what is there, so that it may not be taken for missing.
    """


class MissingLabels(DataError):
    """Pictures of a split have no label. `all_missing`: none of them has one, the split is an unlabelled one."""

    def __init__(self, message: str, *, all_missing: bool):
        super().__init__(message)
        self.all_missing = all_missing
