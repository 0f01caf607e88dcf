"""The networks that a command's words name."""

from typing import TYPE_CHECKING

from dakd_jax.commands import Context

if TYPE_CHECKING:
    from dakd_jax.deploy.network import ReadyNetwork


def load(context: Context, path: str) -> "ReadyNetwork":
    """As dakd_jax.load; of a file of weights without a record, as --config.student and --config.data say."""
    from dakd_jax.deploy import exported

    return exported.load(path, **said(context, path))


def said(context: Context, path: str) -> dict:
    """What --config says of a path, as keywords of dakd_jax.load."""
    from dakd_jax.deploy.export import artefact
    from dakd_jax.deploy.finding import packed
    from dakd_jax.models import weight_files
    from dakd_jax.stages import settings, weights

    given, config = context.given, context.config
    how = {"bit_depth": config.data.bit_depth} if "data.bit_depth" in given else {}
    how |= {"plugins": config.plugins} if "plugins" in given else {}
    place = weight_files.place(path)
    says_itself = artefact.looks_like(path) or packed.folder_of(place) or weights.recorded(place)
    if "student.arch" in given and not says_itself:
        own = {field: config.student[field] for field in weights.NETWORK_FIELDS if f"student.{field}" in given}
        how |= own | {"size": settings.training_size(config, "student")}
    return how
