"""Every task, killed with SIGKILL between every two of its steps: run again, it has its one effect (faults.md 29, 30).

`stepping.py` says what a step is. KILL_EVERY_MESSAGE=1 kills before each single one; without it, the third effect of a
kind stands for those after it, and the first command of a kind for all to Redis.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import LazySettings
from django.core.management import call_command

from billing.locks import lease
from billing.locks.process_writer import process_writer
from billing.locks.stream_rows import release_stream, stream_rows
from billing.selectors.reports import conservation
from billing.services import finalize_stream
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from telemetry.configuration import loa
from tests.factories import ledger, queues
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from tests.workers.chain_scenes import CHAIN_SCENES
from tests.workers.scenes import SCENES, Scene
from tests.workers.stepping import END, Run, Stepper, stepper
from tests.workers.test_tasks import our_tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(900)]

ALL = {**SCENES, **CHAIN_SCENES}
ANCHOR = "billing.take_anchor"  # in a database of its own, below: its anchors would bind everybody else's
REFUNDS = "x402.sweep_refunds"  # killed between its steps in tests/journeys/test_credit_crash_points.py
# One transaction each, whose COMMIT is their only effect in a database: killed before it nothing happened at all.
ONE_TRANSACTION = frozenset({"billing.announce_expiring", "billing.escalate_dead_letters"})
READ_ONLY = frozenset({"billing.verify_ledger", "loa_site.observe"})


@pytest.fixture(scope="module")
def stepping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stepper]:
    with stepper(tmp_path_factory.mktemp("stepping") / "log") as running:
        yield running


@pytest.fixture(autouse=True)
def _own_queues(transactional_db: None) -> Iterator[None]:
    ledger.make_payment_table()
    queues.empty()
    yield
    queues.empty()


def play(stepping: Stepper, task: str, scene: Scene, *, killed_at: str = "") -> Run:
    """Run a task in a scene, killed or not, and go on until it is done."""
    begun = stepping.run(task, killed_at=killed_at, loa=scene.loa, **scene.settings)
    end_leases_of_the_killed()
    scene.time_passes()
    if killed_at:
        stepping.run(task, loa=scene.loa, **scene.settings)
    scene.check()
    return begun


def end_leases_of_the_killed() -> None:
    """The killed hold streams of the ledger for half a minute; here the next ones need not wait for that."""
    client = redis.Redis.from_url(loa("REDIS_URL"))
    for row in stream_rows():
        if row.is_leased and row.holder != process_writer().holder:
            release_stream(row.stream, holder=row.holder, epoch=row.epoch)
            lease.release_lease(client, stream=row.stream, holder=row.holder)
    client.close()


def places_of(whole: Run) -> list[str]:
    return [*whole.steps, END] if os.environ.get("KILL_EVERY_MESSAGE") else whole.boundaries()


def test_every_task_has_its_scene() -> None:
    assert set(ALL) | {ANCHOR, REFUNDS} == set(our_tasks())


@pytest.mark.parametrize("task", sorted(ALL))
def test_a_task_that_is_killed_between_any_two_steps_has_one_effect(
    task: str, stepping: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepping.run(task)  # what other tests left is done and over
    with ALL[task]() as scene:
        whole = play(stepping, task, scene)
    writes = [step for step in whole.steps if step.startswith("sql")]
    assert task not in ONE_TRANSACTION or writes == ["sql COMMIT#1"]
    assert task not in READ_ONLY or all(step.startswith("sql COMMIT#") for step in writes)

    killed = []
    places = [END] if task in READ_ONLY else places_of(whole)
    for place in places:
        with ALL[task]() as scene:
            run = play(stepping, task, scene, killed_at=place)
        if run.code == -signal.SIGKILL:
            killed.append(place)

    assert killed[-1] == END
    assert task in READ_ONLY or {place for place in places if place.startswith("sql")} <= set(killed)
    monkeypatch.setattr(finalize_stream, "CLAIM_IDLE_MS", 0)
    assert nothing_is_pending()
    assert conservation().is_conserved
    call_command("ledger_verify")


def nothing_is_pending() -> bool:
    """Whether every entry of the stream that was read is over; what the killed had read is claimed first."""
    ended = finalize_stream.take(1_000)
    letters = [entry.letter_id for entry in ended]
    open_ones = "SELECT id FROM billing.dead_letter WHERE id = ANY (%s) AND state NOT IN ('done', 'voided', 'poisoned')"
    assert ledger.rows(open_ones, letters) == []
    finalize_stream.acknowledge(ended)
    return finalize_stream.status().pending == 0


@pytest.fixture
def anchored(own_database: dict[str, str]) -> Iterator[OwnLedger]:
    with own_ledger_of(own_database) as opened:
        yield opened


@pytest.mark.parametrize("place", ["sql COMMIT#1", "anchor_stored", END])
def test_an_anchor_that_is_killed_is_one_row_and_one_line(
    place: str, anchored: OwnLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    key, lines = tmp_path / "key.pem", tmp_path / "anchors.jsonl"
    key.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    outside = {"ANCHOR_KEY_FILE": str(key), "ANCHOR_PATH": str(lines), "TIMELINE_FILE": str(tmp_path / "timeline.json")}
    for name, value in anchored.environment().items():
        monkeypatch.setenv(name, value)
    append([ledger.suspense_journal()])

    with stepper(tmp_path / "log") as stepping:
        killed = stepping.run(ANCHOR, killed_at=place, loa={**outside, "CRASH_POINTS": [place]})
        again = stepping.run(ANCHOR, loa=outside)

    settings.LOA = {**settings.LOA, **outside}
    assert (killed.code, again.code) == (-signal.SIGKILL, 0)
    assert [step for step in killed.steps + again.steps if step.startswith("sql")] == ["sql COMMIT#1"]
    assert len(lines.read_text().splitlines()) == ledger.one("SELECT count(*) FROM billing.anchor")[0] == 1
    assert verify_ledger().is_clean
