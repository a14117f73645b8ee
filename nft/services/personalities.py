"""Write what an agent is: created, updated, rolled back; every version kept. One transaction each.

Whether a token has a personality is asked by a look-up that answers None when there is none, and by nothing else: an
error of the store is an error (plan 11.5). Writers of one token take turns by an advisory lock, because a row that is
not there yet cannot be locked; so a second creator finds the first one's row and no constraint has to refuse it.
"""

import hashlib
from typing import Final

from django.db import connection, transaction

from nft.domain.errors import PersonalityExists, PersonalityNotFound, VersionConflict, VersionNotFound
from nft.domain.personality import Traits, default_name
from nft.domain.review import review_after_writing
from nft.models import Personality, PersonalityVersion
from nft.selectors import personalities
from nft.services.agents import AgentToken, require_still_owner
from telemetry import names
from telemetry.logging import get_logger

LOCK_BYTES: Final = 8

log = get_logger(__name__)


def put(token: AgentToken, traits: Traits, *, wallet: str) -> Personality:
    """Create the token's personality or, where there is one, give it these traits. The wizard's step.

    Run it inside a transaction, after `require_still_owner`. Locks the token until that transaction ends.
    """
    lock_token(token)
    existing = personalities.get(*token.key)
    if existing is not None:
        return _update(existing, traits, wallet=wallet)
    return _create(token, traits, wallet=wallet)


def put_default(token: AgentToken, *, wallet: str) -> Personality:
    """The personality the token has, or a new one of our making. As `put`; one that is there stays as it is."""
    lock_token(token)
    existing = personalities.get(*token.key)
    if existing is not None:
        return existing
    return _create(token, Traits(default_name(token.token_id)), wallet=wallet)


def create(token: AgentToken, traits: Traits, *, wallet: str) -> Personality:
    """A token's first personality. Raises OwnershipChanged, PersonalityExists, DetectionUnavailable."""
    require_still_owner(wallet, token)
    with transaction.atomic():
        lock_token(token)
        if personalities.get(*token.key) is not None:
            raise PersonalityExists("The token has a personality; change it with PUT.")
        return _create(token, traits, wallet=wallet)


def update(token: AgentToken, traits: Traits, *, wallet: str, expected_version: int) -> Personality:
    """New traits for a token's personality, when it still is at the version the caller read.

    Raises OwnershipChanged, PersonalityNotFound, VersionConflict, DetectionUnavailable.
    """
    require_still_owner(wallet, token)
    with transaction.atomic():
        lock_token(token)
        return _update(_at_version(token, expected_version), traits, wallet=wallet)


def roll_back(token: AgentToken, number: int, *, wallet: str, expected_version: int) -> Personality:
    """Bring an earlier version back, as a new one. Raises as `update` does, and VersionNotFound."""
    require_still_owner(wallet, token)
    with transaction.atomic():
        lock_token(token)
        existing = _at_version(token, expected_version)
        earlier = personalities.version_of(existing, number)
        if earlier is None:
            raise VersionNotFound("The personality never had this version.")
        return restore(existing, earlier, wallet=wallet)


def restore(row: Personality, earlier: PersonalityVersion, *, wallet: str) -> Personality:
    """Write an earlier version of a personality as its newest. Run it inside a transaction that locks the row."""
    return _update(row, earlier.traits, wallet=wallet, restored_from=earlier.number)


def lock_token(token: AgentToken) -> None:
    """Let one transaction at a time write about a token. Locks: an advisory lock until the transaction ends."""
    digest = hashlib.sha256("/".join(("nft.personality", *token.key)).encode()).digest()
    number = int.from_bytes(digest[:LOCK_BYTES], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _at_version(token: AgentToken, expected_version: int) -> Personality:
    existing = personalities.get(*token.key)
    if existing is None:
        raise PersonalityNotFound("This token has no personality yet.")
    if existing.version != expected_version:
        raise VersionConflict(f"The personality is at version {existing.version} now. Read it again.")
    return existing


def _create(token: AgentToken, traits: Traits, *, wallet: str) -> Personality:
    chain, collection, token_id = token.key
    row = Personality(chain=chain, collection=collection, token_id=token_id)
    _write(row, traits, wallet=wallet)
    row.save(force_insert=True)
    _keep_version(row)
    log.info(names.PERSONALITY_CREATED, personality_id=row.pk, collection=collection, token_id=token_id)
    return row


def _update(row: Personality, traits: Traits, *, wallet: str, restored_from: int | None = None) -> Personality:
    """The same words by the same wallet once more are no new version."""
    if row.traits == traits and row.written_by == wallet and restored_from is None:
        return row
    _write(row, traits, wallet=wallet)
    row.version += 1
    row.save(force_update=True)
    _keep_version(row, restored_from=restored_from)
    log.info(names.PERSONALITY_UPDATED, personality_id=row.pk, version=row.version)
    return row


def _write(row: Personality, traits: Traits, *, wallet: str) -> None:
    row.name, row.voice = traits.name, traits.voice.value
    row.expertise_domains = list(traits.expertise_domains)
    row.custom_instructions, row.written_by = traits.custom_instructions, wallet
    row.review = review_after_writing(traits, before=row.review).value


def _keep_version(row: Personality, *, restored_from: int | None = None) -> None:
    PersonalityVersion.objects.create(
        personality=row,
        number=row.version,
        name=row.name,
        voice=row.voice,
        expertise_domains=row.expertise_domains,
        custom_instructions=row.custom_instructions,
        written_by=row.written_by,
        restored_from=restored_from,
    )
