"""One shard from claim to last row, on the real catalogue and on its stand-in in memory."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade.pictures.decode import Loaded, Preprocessing, load
from cascade.routing import Prediction
from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.records import FileState
from tests.pictures import HTML
from tests.worker.crawls import MODEL_NAME, write_crawl
from worker.constant_model import ConstantModel
from worker.decode import Decoder
from worker.errors import CountMismatch, RootGone
from worker.memory_store import MemoryStore
from worker.pipeline import PipelineOptions, Shard, ShardResult, run_shard
from worker.report import Report
from worker.sources.scan import file_state

CRAWL = "spring"
MODEL = ConstantModel(MODEL_NAME.removeprefix("constant:"))
OPTIONS = PipelineOptions(owner="me", model_version=MODEL.version, batch_size=4)

Store = MemoryStore | Catalogue
Load = Callable[[str, Sequence[str]], Loaded]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    catalogue = Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
    catalogue.register_model(MODEL.version, MODEL.labels())
    yield catalogue
    catalogue.close()


def statuses(store: Store) -> dict[str, tuple[str, str | None]]:
    """Path to (status, reason), read beside the code under test."""
    if isinstance(store, MemoryStore):
        return {path: (row.status, row.reason) for (_, path), row in store.rows.items()}
    return {row.path: (row.status, row.reason) for row in rows(store.engine, Filter())}


def load_file(path: str, roots: Sequence[str]) -> Loaded:
    return load(path, Preprocessing(), roots)


class Classifier:
    """The constant model, which notes how many pictures each call had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, pixels: np.ndarray) -> Sequence[Prediction]:
        assert pixels.shape[1:] == (120, 90, 3)
        assert pixels.dtype == np.uint8
        self.sizes.append(len(pixels))
        return MODEL.classify(pixels)


def run(
    store: Store,
    paths: Sequence[Path],
    *,
    classify: Callable[[np.ndarray], Any] | None = None,
    load: Load = load_file,
    options: PipelineOptions = OPTIONS,
    roots: tuple[str, ...] = (),
    report: Report | None = None,
) -> tuple[ShardResult, Report]:
    files = [file_state(str(path)) for path in paths]
    report = report or Report()
    with Decoder(load, threads=2, ahead=8) as decode:
        result = run_shard(
            Shard(CRAWL, files, roots),
            store=store,
            decode=decode,
            classify=classify or Classifier(),
            options=options,
            report=report,
        )
    return result, report


def test_every_path_ends_in_one_row_and_the_counts_add_up(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 10)
    (tmp_path / "crawl" / "page.jpg").write_bytes(HTML)
    (tmp_path / "crawl" / "empty.jpg").touch()
    others = [tmp_path / "crawl" / name for name in ("page.jpg", "empty.jpg", "absent.jpg")]
    classify = Classifier()
    result, report = run(store, [*pictures, *others], classify=classify)
    assert not result.stopped
    assert statuses(store) == {str(path): ("labelled", None) for path in pictures} | {
        str(others[0]): ("rejected", "not_an_image"),
        str(others[1]): ("rejected", "empty"),
        str(others[2]): ("rejected", "missing"),
    }
    assert (report.labelled, report.rejected.total(), report.done) == (10, 3, 0)
    assert report.exit_code == 1
    assert sum(classify.sizes) == 10
    assert classify.sizes[:-1] == [4] * (len(classify.sizes) - 1)  # only full batches before


def test_a_second_run_claims_nothing(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 5)
    run(store, pictures)

    def never(_: np.ndarray) -> list[Prediction]:
        raise AssertionError("nothing is to be classified")

    _, report = run(store, pictures, classify=never)
    assert (report.processed, report.done, report.exit_code) == (0, 5, 0)
    assert report.summary().startswith("nothing to do: 5 pictures done before")


def test_a_changed_file_is_labelled_again(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 3)
    run(store, pictures)
    pictures[1].write_bytes(b"no picture any more")
    _, report = run(store, pictures)
    assert (report.done, dict(report.rejected)) == (2, {"not_an_image": 1})
    assert statuses(store)[str(pictures[1])] == ("rejected", "not_an_image")


def test_the_same_bytes_are_classified_once(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 3)
    twins = [tmp_path / "crawl" / f"twin{number}.png" for number in range(9)]
    for twin in twins:
        shutil.copy(pictures[0], twin)
    classify = Classifier()
    _, report = run(store, [*pictures, *twins], classify=classify)
    assert sum(classify.sizes) == report.inferred == 3
    assert report.labelled == 12
    shutil.copy(pictures[1], tmp_path / "crawl" / "later.png")
    _, report = run(store, [tmp_path / "crawl" / "later.png"], classify=classify)
    assert (report.labelled, report.inferred) == (1, 0)


@pytest.mark.parametrize("answers", [0, 3, 5])
def test_too_few_or_too_many_answers_store_nothing(
    store: Store, tmp_path: Path, answers: int
) -> None:
    pictures = write_crawl(tmp_path / "crawl", 4)
    prediction = MODEL.classify(np.zeros((1, 120, 90, 3), np.uint8))[0]
    with pytest.raises(
        CountMismatch, match=f"expected 4 answers for 4 pictures, received {answers}"
    ):
        run(store, pictures, classify=lambda _: [prediction] * answers)
    assert set(statuses(store).values()) == {("pending", None)}
    assert store.owners() == []  # released, so that the next run need not wait
    _, report = run(store, pictures)
    assert report.labelled == 4


def test_a_classifier_that_fails_later_keeps_what_was_finished(
    store: Store, tmp_path: Path
) -> None:
    pictures = write_crawl(tmp_path / "crawl", 12)
    classify = Classifier()

    def fails_in_the_third(pixels: np.ndarray) -> Sequence[Prediction]:
        if len(classify.sizes) == 2:
            raise MemoryError("no room for the network")
        return classify(pixels)

    with pytest.raises(MemoryError):
        run(store, pictures, classify=fails_in_the_third)
    found = list(statuses(store).values())
    assert found.count(("labelled", None)) == 8
    assert found.count(("pending", None)) == 4
    _, report = run(store, pictures, classify=classify)
    assert (report.done, report.labelled) == (8, 4)


def test_a_decoder_that_raises_rejects_one_picture(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 6)

    def raises_for_one(path: str, roots: Sequence[str]) -> Loaded:
        if path == str(pictures[2]):
            raise RuntimeError("a bug in a decoder")
        return load_file(path, roots)

    _, report = run(store, pictures, load=raises_for_one)
    assert (report.labelled, dict(report.rejected)) == (5, {"unreadable": 1})


def test_a_stop_finishes_the_batch_and_releases_the_rest(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 20)
    stop = threading.Event()

    def stops_in_the_first(pixels: np.ndarray) -> Sequence[Prediction]:
        stop.set()
        return MODEL.classify(pixels)

    result, report = run(
        store, pictures, classify=stops_in_the_first, options=replace(OPTIONS, stop=stop)
    )
    assert result.stopped
    assert report.labelled == 4
    assert list(statuses(store).values()).count(("labelled", None)) == 4
    assert store.owners() == []
    _, report = run(store, pictures)
    assert (report.done, report.labelled) == (4, 16)


def test_a_picture_under_a_live_lease_is_skipped(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 4)
    files = [file_state(str(path)) for path in pictures]
    store.claim(CRAWL, files[:3], "another", 300.0, MODEL.version)
    result, report = run(store, pictures)
    assert (result.busy, report.busy, report.labelled) == (3, 3, 1)
    assert result.busy_seconds is None or 0 < result.busy_seconds <= 300


def test_rows_that_went_to_another_worker_keep_the_shard_busy(store: Store, tmp_path: Path) -> None:
    """A process that was suspended past its lease must not acknowledge its successor's message."""
    pictures = write_crawl(tmp_path / "crawl", 4)
    files = [file_state(str(path)) for path in pictures]

    def suspended(pixels: np.ndarray) -> Sequence[Prediction]:
        store.release(CRAWL, "me")
        store.claim(CRAWL, files, "another", 300.0, MODEL.version)
        return MODEL.classify(pixels)

    result, report = run(store, pictures, classify=suspended)
    assert result.busy == report.lost == 4
    assert set(statuses(store).values()) == {("pending", None)}


def test_two_workers_on_one_shard_label_each_picture_once(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 24)
    classify, started = Classifier(), threading.Barrier(2)
    reports: list[Report] = []

    def work(owner: str) -> None:
        started.wait(10)
        options = replace(OPTIONS, owner=owner)
        reports.append(run(store, pictures, classify=classify, options=options)[1])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(report.labelled for report in reports) == sum(classify.sizes) == 24
    assert set(statuses(store).values()) == {("labelled", None)}


def test_pictures_of_a_dead_worker_run_one_by_one(store: Store, tmp_path: Path) -> None:
    pictures = write_crawl(tmp_path / "crawl", 5)
    files = [file_state(str(path)) for path in pictures]
    store.claim(CRAWL, files[:3], "dead", 300.0, MODEL.version)
    store.expire("dead")
    classify = Classifier()
    _, report = run(store, pictures, classify=classify)
    assert classify.sizes == [2, 1, 1, 1]
    assert report.labelled == 5


class Outage:
    """A store whose database refuses to store for good, and to release at first."""

    def __init__(self, store: Store) -> None:
        self.inner, self.releases = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def store(self, *_: Any, **__: Any) -> int:
        raise ConnectionError("first")

    def release(self, crawl: str, owner: str) -> int:
        self.releases += 1
        if self.releases < 3:
            raise ConnectionError("later")
        return self.inner.release(crawl, owner)


def test_a_refused_release_is_tried_again(store: Store, tmp_path: Path) -> None:
    pictures, outage = write_crawl(tmp_path / "crawl", 5), Outage(store)
    with pytest.raises(ConnectionError, match="first"):
        run(outage, pictures)  # type: ignore[arg-type]
    assert (outage.releases, store.owners()) == (3, [])
    assert run(store, pictures, options=replace(OPTIONS, owner="next"))[1].labelled == 5


class WorkerDied(BaseException):
    """Stands for the end of a process: nothing after it is done by this worker."""


class Mortal:
    """A store whose worker dies: it then answers no call, so no lease is released."""

    def __init__(self, store: Store) -> None:
        self.inner, self.dead = store, False

    def __getattr__(self, name: str) -> Any:
        if self.dead:
            raise WorkerDied
        return getattr(self.inner, name)


@pytest.mark.parametrize("poisons", [1, 5])
def test_poison_pictures_are_found_and_their_neighbours_labelled(
    store: Store, tmp_path: Path, poisons: int
) -> None:
    pictures = write_crawl(tmp_path / "crawl", 16)
    poison = {str(path) for path in pictures[3 : 3 + poisons]}
    deaths = 0
    while deaths <= 20:
        mortal, owner = Mortal(store), f"life {deaths}"

        def kills(path: str, roots: Sequence[str], mortal: Mortal = mortal) -> Loaded:
            if path in poison:
                mortal.dead = True
                raise WorkerDied
            return load_file(path, roots)

        try:
            run(mortal, pictures, load=kills, options=replace(OPTIONS, owner=owner))  # type: ignore[arg-type]
        except WorkerDied:
            deaths += 1
            store.expire(owner)
            continue
        break
    assert deaths == 1 + 2 * poisons
    assert statuses(store) == {
        str(path): ("quarantined", "worker_died") if str(path) in poison else ("labelled", None)
        for path in pictures
    }


def test_a_root_that_goes_away_fails_the_shard_and_nothing_is_missing(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "crawl"
    pictures = write_crawl(folder, 12)
    roots = (str(folder),)

    def moves_away(pixels: np.ndarray) -> Sequence[Prediction]:
        if folder.exists():
            folder.rename(tmp_path / "elsewhere")
        return MODEL.classify(pixels)

    # no running ahead: the pictures after the first batch are opened after the move
    files = [file_state(str(path)) for path in pictures]
    with Decoder(load_file, threads=1, ahead=1) as decode, pytest.raises(RootGone, match="gone"):
        run_shard(
            Shard(CRAWL, files, roots),
            store=store,
            decode=decode,
            classify=moves_away,
            options=OPTIONS,
            report=Report(),
        )
    assert {status for status, _ in statuses(store).values()} == {"labelled", "pending"}
    (tmp_path / "elsewhere").rename(folder)
    run(store, pictures, roots=roots)
    assert set(statuses(store).values()) == {("labelled", None)}


def test_a_link_out_of_the_root_is_rejected(store: Store, tmp_path: Path) -> None:
    write_crawl(tmp_path / "crawl", 1)
    (outside,) = write_crawl(tmp_path / "private", 1)
    link = tmp_path / "crawl" / "link.png"
    link.symlink_to(outside)
    run(store, [link], roots=(str(tmp_path / "crawl"),))
    assert statuses(store) == {str(link): ("rejected", "outside_root")}


def test_leases_are_renewed_while_a_shard_is_worked(tmp_path: Path) -> None:
    now = [datetime.now(UTC)]
    store = MemoryStore(clock=lambda: now[0])
    pictures = write_crawl(tmp_path / "crawl", 12)
    until: list[float] = []

    def slow(pixels: np.ndarray) -> Sequence[Prediction]:
        now[0] += timedelta(seconds=5)
        claimed_until = store.rows[CRAWL, str(pictures[-1])].claimed_until
        assert claimed_until is not None
        until.append((claimed_until - now[0]).total_seconds())
        return MODEL.classify(pixels)

    # a third of this lease passes between any two batches
    run(store, pictures, classify=slow, options=replace(OPTIONS, lease_seconds=1e-6))
    assert len(until) == 3
    # unrenewed it would have run out 15 seconds ago; the third batch may be with the networks
    # before the renewal of the second one is stored
    assert until[2] >= until[0] - 5 - 1e-5


def test_decoding_runs_ahead_up_to_its_limit() -> None:
    gate, opened, lock = threading.Event(), 0, threading.Lock()
    pixels = np.zeros((120, 90, 3), np.uint8)

    def waits(path: str, roots: Sequence[str]) -> Loaded:
        nonlocal opened
        with lock:
            opened += 1
        gate.wait(30)
        return Loaded(path, 1, 1.0, path, pixels, None, None)

    files = [FileState(f"/{number}.jpg") for number in range(100)]
    with Decoder(waits, threads=2, ahead=6) as decode:
        stream = decode(files, ())
        gate.set()
        assert next(stream).path == "/0.jpg"
        stream.close()
    assert 1 <= opened <= 7
