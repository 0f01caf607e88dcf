"""All inputs of a command: first its pictures, then one film after the other."""

from collections.abc import Sequence

from rich.console import Console

from dakd_jax.deploy.network import ReadyNetwork
from dakd_jax.deploy.predicting.answer_files import AnswerFiles
from dakd_jax.deploy.predicting.films import predict_film
from dakd_jax.deploy.predicting.inputs import Input
from dakd_jax.deploy.predicting.outcome import Outcome
from dakd_jax.deploy.predicting.pictures import predict_pictures


def predict_all(
    networks: Sequence[ReadyNetwork], inputs: Sequence[Input], files: AnswerFiles, kinds, console: Console
) -> Outcome:
    """Writes the answers of all inputs that have none yet; says which cannot be read, or not to their end.

    Args:
      networks: the one whose answers are wanted, and perhaps another one, whose overlays stand beside its own.

    Raises:
      UserError: an answer cannot be written.
      AccessError: the process may not open more files, or has no memory.
    """
    films = [one for one in inputs if one.is_film()]
    pictures = [one for one in inputs if not one.is_film()]
    found = predict_pictures(networks, pictures, files, kinds, console) if pictures else Outcome()
    for one in films:
        found += predict_film(networks, one, files, kinds, console)
    return found
