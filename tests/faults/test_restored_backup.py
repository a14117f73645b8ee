"""An older backup in the place of the ledger (faults row 18, ledger fault 26): the anchors outside are ahead of it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import LazySettings
from django.conf import settings as django_settings

from billing.services.anchors import take_anchor
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import own_ledger_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, settings: LazySettings) -> None:
    """Anchors are signed, and written to a file that no restore touches."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    settings.LOA = {
        **settings.LOA,
        "ANCHOR_KEY_FILE": str(tmp_path / "key.pem"),
        "ANCHOR_PATH": str(tmp_path / "anchors.jsonl"),
    }


@pytest.fixture
def backup(own_database: dict[str, str]) -> Iterator[dict[str, str]]:
    """The URLs that a copy of the test's database has, once it is made."""
    name = f"loa_run_{secrets.token_hex(6)}"
    yield {key: url.rpartition("/")[0] + f"/{name}" for key, url in own_database.items()}
    with psycopg.connect(django_settings.TEST_ADMIN_DATABASE_URL, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def copy(source: dict[str, str], target: dict[str, str]) -> None:
    names = [urls["DATABASE_URL"].rpartition("/")[2] for urls in (target, source)]
    with psycopg.connect(django_settings.TEST_ADMIN_DATABASE_URL, autocommit=True) as admin:
        admin.execute('CREATE DATABASE "{}" TEMPLATE "{}" OWNER loa_owner'.format(*names))


def test_a_backup_older_than_the_last_anchor_is_named(own_database: dict[str, str], backup: dict[str, str]) -> None:
    with own_ledger_of(own_database):
        append([ledger.suspense_journal()])
        take_anchor()
    copy(own_database, backup)
    with own_ledger_of(own_database):
        append([ledger.suspense_journal(key="after the backup")])
        take_anchor()

    with own_ledger_of(backup):
        findings = [finding.check for finding in verify_ledger().findings]
        assert findings == ["anchors"]
        assert ledger.journal_count("after the backup") == 0


def test_a_backup_as_new_as_the_last_anchor_is_whole(own_database: dict[str, str], backup: dict[str, str]) -> None:
    with own_ledger_of(own_database):
        append([ledger.suspense_journal()])
        take_anchor()
    copy(own_database, backup)

    with own_ledger_of(backup):
        assert verify_ledger().is_clean
