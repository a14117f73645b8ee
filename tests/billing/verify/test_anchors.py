"""Anchors: what they hold, when they are taken, and that removing or rewriting what they saw is found."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import LazySettings

from billing.services.anchor_signers import AnchorsNotConfigured, configured_signer
from billing.services.anchors import GENESIS, digest_of, take_anchor, take_anchor_if_due
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.kms import kms_key
from tests.factories.own_ledger import OwnLedger

__all__ = ["kms_key"]  # a fixture is used by its name


@pytest.fixture
def outside(tmp_path: Path, settings: LazySettings) -> Path:
    """The file outside; an Ed25519 key is configured."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    path = tmp_path / "anchors.jsonl"
    settings.LOA = {**settings.LOA, "ANCHOR_KEY_FILE": str(tmp_path / "key.pem"), "ANCHOR_PATH": str(path)}
    return path


def anchor_finding() -> tuple[str, str]:
    [finding] = [finding for finding in verify_ledger().findings if finding.check == "anchors"]
    return finding.where, finding.detail


def test_an_anchor_holds_heads_count_trial_balance_and_its_predecessor(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal(5)])
    first = take_anchor()
    append([ledger.suspense_journal(6)])
    second = take_anchor()

    [(sequence, head)] = ledger.rows("SELECT sequence, encode(head, 'hex') FROM billing.stream WHERE id = 0")
    assert second.content["heads"] == [[0, sequence, head]]
    assert second.content["journal_count"] == sequence
    assert second.content["trial_balance"] == {f"{ledger.USDC} suspense": "11", f"{ledger.USDC} treasury": "-11"}
    assert first.content["previous_digest"] == GENESIS.hex()
    assert second.content["previous_digest"] == first.digest.hex()
    assert len(second.content["timeline"]) == 8
    lines = [json.loads(line) for line in outside.read_text().splitlines()]
    assert [line["digest"] for line in lines] == [first.digest.hex(), second.digest.hex()]
    assert digest_of(lines[1]["content"]) == second.digest
    assert configured_signer().is_signed(second.digest, second.signature)
    assert verify_ledger().is_clean


def test_an_anchor_is_due_after_ten_thousand_journals_or_ten_minutes(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])

    assert take_anchor_if_due() is not None
    assert take_anchor_if_due() is None
    append([ledger.suspense_journal()])
    assert take_anchor_if_due() is None
    own_ledger.tamper("UPDATE billing.stream SET sequence = sequence + 9999 WHERE id = 0")
    assert take_anchor_if_due() is not None
    own_ledger.tamper("UPDATE billing.anchor SET taken_at = taken_at - interval '11 minutes'")
    own_ledger.tamper("UPDATE billing.stream SET sequence = sequence + 1 WHERE id = 0")
    assert take_anchor_if_due() is not None


def test_a_tail_that_was_cut_with_its_head_and_balances_is_found(busy_ledger: OwnLedger, outside: Path) -> None:
    take_anchor()
    [(journal_id, sequence, previous)] = ledger.rows(
        "SELECT id, sequence, previous_hash FROM billing.journal ORDER BY sequence DESC LIMIT 1"
    )

    busy_ledger.tamper(
        "UPDATE billing.balance b SET posted = posted - p.amount, version = b.version - 1 FROM billing.posting p"
        " WHERE p.journal_id = %s AND p.account_id = b.account_id AND p.shard = b.shard",
        journal_id,
    )
    busy_ledger.tamper("DELETE FROM billing.posting WHERE journal_id = %s", journal_id)
    busy_ledger.tamper("DELETE FROM billing.idempotency_key WHERE journal_id = %s", journal_id)
    busy_ledger.tamper("DELETE FROM billing.journal WHERE id = %s", journal_id)
    busy_ledger.tamper("UPDATE billing.stream SET sequence = sequence - 1, head = %s WHERE id = 0", previous)

    assert [finding.check for finding in verify_ledger().findings] == ["anchors"]
    assert anchor_finding() == ("anchor 1", f"journal {sequence} of stream 0, which it saw, is gone or was changed")


def test_a_chain_recomputed_to_its_end_is_found(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal(5)])
    take_anchor()

    own_ledger.tamper("UPDATE billing.journal SET correlation_id = 'quo_other'")
    own_ledger.tamper(
        "UPDATE billing.journal j SET hash = sha256(j.previous_hash || convert_to("
        "billing.canonical_journal(j, billing.canonical_postings(j.id)), 'UTF8'))"
    )
    own_ledger.tamper("UPDATE billing.stream s SET head = j.hash FROM billing.journal j WHERE j.stream = s.id")

    assert [finding.check for finding in verify_ledger().findings] == ["anchors"]


def test_an_anchor_removed_from_the_database_is_missed_by_the_file(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])
    take_anchor()

    own_ledger.tamper("DELETE FROM billing.anchor")

    assert anchor_finding() == ("anchor 1", "the file outside has it (line 1), the database does not")


def test_a_forged_anchor_is_not_signed(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])
    anchor = take_anchor()
    forged = {**anchor.content, "journal_count": 99}

    own_ledger.tamper("UPDATE billing.anchor SET journal_count = 99, digest = %s", digest_of(forged))

    assert anchor_finding() == ("anchor 1", "its signature is not ours")


def test_a_changed_anchor_does_not_fit_its_digest(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])
    take_anchor()

    own_ledger.tamper("UPDATE billing.anchor SET journal_count = 99")

    assert anchor_finding() == ("anchor 1", "its digest does not fit its content")


def test_a_line_changed_outside_is_named(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])
    take_anchor()
    line = json.loads(outside.read_text())
    line["content"]["journal_count"] = 99
    outside.write_text(json.dumps(line) + "\n")

    assert anchor_finding() == ("anchor 1", "line 1 of the file outside was changed")


def test_a_line_that_a_crash_left_out_is_written_by_the_next_run(own_ledger: OwnLedger, outside: Path) -> None:
    append([ledger.suspense_journal()])
    take_anchor()
    outside.unlink()

    assert take_anchor_if_due() is None
    assert len(outside.read_text().splitlines()) == 1


def test_an_hmac_key_signs_too(own_ledger: OwnLedger, outside: Path, settings: LazySettings, tmp_path: Path) -> None:
    (tmp_path / "hmac").write_text("hmac:" + "5a" * 32)
    settings.LOA = {**settings.LOA, "ANCHOR_KEY_FILE": str(tmp_path / "hmac")}

    anchor = take_anchor()

    assert anchor.key_id.startswith("hmac-sha256:")
    assert verify_ledger().is_clean


@pytest.mark.parametrize("content", ["", "hmac:zz", "hmac:" + "00" * 16, "-----BEGIN PRIVATE KEY-----\nx\n"])
def test_an_unusable_key_is_refused_with_the_settings_name(
    settings: LazySettings, tmp_path: Path, content: str
) -> None:
    (tmp_path / "key").write_text(content)
    settings.LOA = {**settings.LOA, "ANCHOR_KEY_FILE": str(tmp_path / "key")}

    with pytest.raises(AnchorsNotConfigured) as refusal:
        configured_signer()

    assert refusal.value.facts["setting"] == "ANCHOR_KEY_FILE"


def test_without_a_key_nothing_is_anchored(own_ledger: OwnLedger, settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "ANCHOR_KEY_FILE": ""}

    with pytest.raises(AnchorsNotConfigured):
        take_anchor()

    assert ledger.rows("SELECT id FROM billing.anchor") == []


def test_an_anchor_signed_in_kms_is_checked_by_the_keys_public_half(
    own_ledger: OwnLedger, outside: Path, settings: LazySettings, kms_key: str
) -> None:
    signer = "billing.services.anchor_signers.KmsSigner"
    settings.LOA = {**settings.LOA, "ANCHOR_SIGNER": signer, "ANCHOR_KMS_KEY": kms_key}
    append([ledger.suspense_journal(5)])

    anchor = take_anchor()

    assert configured_signer().key_id.startswith("kms-secp256k1:")
    assert configured_signer().is_signed(anchor.digest, anchor.signature)
    assert not configured_signer().is_signed(bytes(32), anchor.signature)
    assert not configured_signer().is_signed(anchor.digest, bytes(64))
    assert verify_ledger().is_clean
