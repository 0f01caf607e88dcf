"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
    """Something in the command, config or files is wrong; the message is one line and says the way out.

    run.py prints the message without a traceback and exits with code 2. Every other exception is ours
    and keeps its traceback.
    """
