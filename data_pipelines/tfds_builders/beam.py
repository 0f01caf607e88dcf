"""The examples of a split as an Apache Beam transform, for any runner."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from data_pipelines.basics.errors import DataError
from data_pipelines.tfds_builders.pairs import TfdsExample

_NAMESPACE = "tfds_builders"


def transform(split: str, jobs: Sequence[Any], make: Callable[[Any], TfdsExample]):
    """A beam.PTransform from nothing to (key, features).

    Args:
      split: name of the split.
      jobs: what to make examples of; must be picklable.
      make: job to example; must be picklable.

    Raises:
      DataError: apache-beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise DataError(
            f"beam_runner and beam_options need apache-beam, which cannot be imported ({error}); "
            "install it, or leave them out"
        ) from None

    def made(job):
        example = make(job)
        for name, amount in tally(example).items():
            beam.metrics.Metrics.counter(_NAMESPACE, f"{split}/{name}").inc(amount)
        return [] if example.features is None else [(example.key, example.features)]

    return beam.Create(jobs) | beam.Reshuffle() | beam.FlatMap(made)


def tally(made: TfdsExample) -> Counter:
    """The counts that an example adds to the statistics of its split."""
    return Counter(left_out=int(made.features is None), unknown_pixels=made.unknown_pixels)


def read_tallies(result: Any) -> dict[str, Counter]:
    """The sums of all tallies by split, from the result of a pipeline."""
    from apache_beam.metrics import MetricsFilter

    tallies: dict[str, Counter] = {}
    for counter in result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE))["counters"]:
        split, name = counter.key.metric.name.split("/")
        tallies.setdefault(split, Counter())[name] += counter.committed or 0
    return tallies
