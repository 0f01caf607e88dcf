"""Who writes the shards: processes of this machine, or any Apache Beam runner."""

import functools
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool

from data_pipelines.basics import parallel, plugins
from data_pipelines.basics.errors import DataError
from data_pipelines.prepare import preparation
from data_pipelines.prepare.preparation import ShardJob

POLL_SECONDS = 0.5


def run_local(jobs: Sequence[ShardJob], num_workers: int) -> Iterator[int]:
    """Writes the shards in processes; yields the number of examples of each as it is done.

    Raises:
      DataError: a broken file, or a worker was killed; shards that are done stay.
      OSError: no space or no permission.
    """
    if num_workers == 1:
        yield from map(preparation.write_shard, jobs)
        return
    pool = parallel.worker_pool(num_workers)
    try:
        for done in as_completed([pool.submit(preparation.write_shard, job) for job in jobs]):
            yield done.result()
    except BrokenProcessPool:
        raise DataError(
            "a worker process was killed, perhaps for want of memory; give the command again to go on, "
            "with a smaller --num_workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def run_beam(jobs: Sequence[ShardJob], runner: str, options: Sequence[str]) -> Iterator[int]:
    """Writes the shards on a Beam runner whose workers see the same disk; yields as run_local does.

    Args:
      runner: name of the runner, e.g. 'DirectRunner'.
      options: pipeline options, e.g. '--direct_num_workers=2'.

    Raises:
      DataError: apache-beam is not installed, or the pipeline failed.
    """
    beam, pipeline_options = _import_beam()
    try:
        chosen = pipeline_options([f"--runner={runner}", *options])
        chosen.get_all_options()
    except SystemExit:  # argparse has told why
        raise DataError(f"--beam_options={','.join(options)}: see above; give options of {runner}") from None
    failures: list[Exception] = []

    def run() -> None:
        try:
            with beam.Pipeline(options=chosen) as pipeline:
                shards = pipeline | "Shards" >> beam.Create([pickle.dumps(job) for job in jobs]) | beam.Reshuffle()
                shards | "Write" >> beam.Map(functools.partial(_write_sent, plugins.loaded()))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="beam", daemon=True)  # so that Ctrl-C need not wait for the pipeline
    thread.start()
    yield from _watch(jobs, lambda: not thread.is_alive())
    thread.join()
    if failures:
        reason = " ".join(str(failures[0]).split())
        raise DataError(f"the Beam pipeline on {runner} failed: {reason[-400:]}") from failures[0]
    if missing := [job for job in jobs if not preparation.is_written(job)]:
        raise DataError(
            f"the Beam pipeline on {runner} has ended, but {len(missing)} shards are not in {missing[0].path.parent}: "
            "its workers must see this very disk"
        )


def _write_sent(names: Sequence[str], job: bytes) -> int:
    """On a worker of Beam: writes a shard that was sent with the names of the plugins that its job may be made of."""
    plugins.load_as_a_worker(names)
    return preparation.write_shard(pickle.loads(job))


def _watch(jobs: Sequence[ShardJob], ended: Callable[[], bool]) -> Iterator[int]:
    """Yields the examples of each shard once its file is there, until all are or the work has ended."""
    waiting, pause = list(jobs), threading.Event()
    while waiting:
        last_look = ended()
        there = [job for job in waiting if preparation.is_written(job)]
        waiting = [job for job in waiting if job not in there]
        yield from (len(job.examples) for job in there)
        if last_look:
            return
        pause.wait(POLL_SECONDS)


def _import_beam():
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise DataError(
            f"--beam_runner needs apache-beam, which cannot be imported ({error}); "
            "pip install -r requirements-beam.txt, or leave the flag out to use this machine's processes"
        ) from None
    return beam, PipelineOptions
