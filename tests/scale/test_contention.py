"""The sampler sees a lock that is waited for, and work that is not; shares and gains are what they say."""

import threading
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.scale.contention import Contention
from tests.scale.scaling import gains, milliseconds_a_request, verdict

LOCK = 8402_777


def url_of_this_run() -> str:
    """The superuser's URL of the database that this run's tests use."""
    server = str(settings.TEST_ADMIN_DATABASE_URL).rpartition("/")[0]
    return f"{server}/{connection.settings_dict['NAME']}"


def run(**keys: Any) -> dict[str, Any]:
    contention = {"machine_busy": 0.97, "row_lock_share": 0.01, "lock_share": 0.02}
    return {"nodes": 1, "keys": {"per_second": 100.0, "contention": contention}} | keys


def waiting_backend(url: str) -> threading.Thread:
    def wait_for_it() -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", [LOCK])

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    return thread


@pytest.mark.django_db
def test_a_backend_that_waits_for_a_lock_is_counted_as_waiting_for_a_lock() -> None:
    url = url_of_this_run()
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        thread = waiting_backend(url)
        with Contention(url, {"nobody": []}) as contention:
            while contention.waits["Lock", "advisory"] < 3 and thread.is_alive():
                contention._done.wait(0.05)
        holder.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        thread.join()

    figures = contention.figures()
    assert contention.waits["Lock", "advisory"] >= 3
    assert figures["lock_share"] > 0
    assert figures["locks_not_granted_mean"] > 0
    assert figures["cpu_seconds"] == {"nobody": 0}


def test_gains_are_throughputs_beside_the_first() -> None:
    two = run(nodes=2)
    two["keys"] = {**two["keys"], "per_second": 175.0}

    assert gains([run(), two]) == {"1": 1.0, "2": 1.75}


def test_two_nodes_that_do_not_scale_on_full_cores_are_held_back_by_cores() -> None:
    found = verdict([run(), run(nodes=2)], [])

    assert (found["two_nodes_suffice"], found["cores_are_the_limit"]) == (False, True)


def test_two_nodes_that_wait_for_locks_are_not() -> None:
    held_back = run(nodes=2)
    held_back["keys"]["contention"]["row_lock_share"] = 0.4

    assert verdict([run(), held_back], [])["cores_are_the_limit"] is False


def test_processor_time_is_told_for_one_request() -> None:
    assert milliseconds_a_request({"web": 1.5, "redis": 0.003}, 300) == {"web": 5.0, "redis": 0.01}
