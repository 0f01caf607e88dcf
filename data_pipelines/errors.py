"""The one exception that stands for a mistake in a dataset or its settings."""


class DataError(ValueError):
    """A file, folder or setting of a dataset is wrong; the message is one line and says the way out.

    run.py prints the message without a traceback and exits with code 2.
    """
