"""The exceptions that run.py reports as one line; every other one is ours and keeps its traceback."""


class UserError(ValueError):
    """Something in the command, config or files is wrong; the message is one line and says the way out.

    run.py exits with code 2.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # names and values of a user's may hold line breaks


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite; the message names the step and the terms. run.py exits with code 3."""
