"""Who may write with a relayer key now: one process, by a Postgres row and the database's clock.

The lease keeps two processes from racing for account nonces. It is not what keeps money safe: one transaction per
account nonce and one transfer per authorization do that on the chain itself (R25).
"""

import os
import secrets
from dataclasses import dataclass

from django.db import connection

LEASE_SECONDS = 5  # a dead leader is replaced after this long; each batch renews it

HOLDER = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"


def holder() -> str:
    """This process's name in lease rows; unlike in a forked child."""
    global HOLDER
    if f":{os.getpid()}:" not in HOLDER:
        HOLDER = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    return HOLDER


@dataclass(frozen=True, slots=True)
class Lease:
    epoch: int
    is_new: bool


def acquire(network: str, address: str, held_epoch: int | None) -> Lease | None:
    """Take or renew the lease; None when another process holds it. Locks the relayer row for one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO x402_relayer (network, address, holder, epoch, next_nonce) VALUES (%s, %s, '', 0, 0)"
            " ON CONFLICT DO NOTHING",
            [network, address],
        )
        cursor.execute(
            "UPDATE x402_relayer SET lease_until = clock_timestamp() + make_interval(secs => %s), holder = %s,"
            " epoch = epoch + CASE WHEN holder = %s AND epoch = %s THEN 0 ELSE 1 END"
            " WHERE network = %s AND address = %s"
            " AND (holder = %s OR lease_until IS NULL OR lease_until < clock_timestamp()) RETURNING epoch",
            [LEASE_SECONDS, holder(), holder(), held_epoch or -1, network, address, holder()],
        )
        row = cursor.fetchone()
    return None if row is None else Lease(epoch=row[0], is_new=row[0] != held_epoch)


def release(network: str, address: str, epoch: int) -> None:
    """Give the lease back at once, so that the next process need not wait for its end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE x402_relayer SET lease_until = clock_timestamp() WHERE network = %s AND address = %s"
            " AND holder = %s AND epoch = %s",
            [network, address, holder(), epoch],
        )
