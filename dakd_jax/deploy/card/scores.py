"""The mIoU that a run has recorded of a network; nothing is computed here."""

from dakd_jax.basics import records
from dakd_jax.deploy.finding import Found
from dakd_jax.evaluation.evaluation_store import OF

PROTOCOL = "native"


def recorded(found: Found, stage: str | None, size: tuple[int, int]) -> dict:
    """What lies beside a network's weights, as plain data.

    Args:
      stage: the hash of the finished stage that the weights are of, None where no record says it.
      size: (width, height) that the card is about.

    Returns:
      {'miou': per cent on target val under the protocol 'native', 'protocol'}, or {'miou': None, 'why': a few words}.
    """
    if stage is None:
        return _unknown("no run's record lies beside the weights")
    kept = sorted(found.place.path.parent.glob(f"evaluation-{PROTOCOL}-*.json"), key=lambda one: one.stat().st_mtime_ns)
    told = [one for one in map(records.read_json, kept) if one and _is_of(one, stage)]
    if not told:
        return _unknown("the run has not been evaluated")
    at_size = [one for one in told if tuple(one.get("image_size") or ()) == tuple(size)]
    if not at_size:
        sizes = ", ".join(sorted({"x".join(map(str, one.get("image_size") or "?")) for one in told}))
        return _unknown(f"the run's score is of {sizes}")
    latest = at_size[-1]  # of several the others are of data that the run had before
    return {"miou": round(100 * latest["scores"]["miou"], 2), "protocol": PROTOCOL}


def _is_of(told: dict, stage: str) -> bool:
    scored = told.get("scores")
    network = told.get(OF, {}).get("network", told.get("hash"))
    return network == stage and isinstance(scored, dict) and isinstance(scored.get("miou"), float)


def _unknown(why: str) -> dict:
    return {"miou": None, "why": why}
