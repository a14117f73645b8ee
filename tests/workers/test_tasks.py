"""What every task keeps to: names that last, limits below the visibility timeout, JSON only, context in the message."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.conf import settings

from loa_site import celery as site_celery
from loa_site.task_checks import tasks_end_in_time
from telemetry.correlation import correlated, correlation_id

NAMES = Path(__file__).parent / "task_names.json"


def our_tasks() -> dict[str, Any]:
    current_app.loader.import_default_modules()
    return {name: task for name, task in current_app.tasks.items() if not name.startswith("celery.")}


def test_a_name_that_a_release_used_is_still_answered_to() -> None:
    missing = set(json.loads(NAMES.read_text())) - our_tasks().keys()

    assert missing == set()


def test_everything_beat_asks_for_exists_and_expires_before_it_piles_up() -> None:
    schedule = current_app.conf.beat_schedule

    assert {entry["task"] for entry in schedule.values()} <= our_tasks().keys()
    late = {
        name: entry
        for name, entry in schedule.items()
        if entry["options"]["expires"] > max(float(entry["schedule"]), 60.0)
    }
    assert late == {}


def test_tasks_take_no_arguments_so_that_rows_decide() -> None:
    takers = [
        name
        for name, task in our_tasks().items()
        if name in json.loads(NAMES.read_text()) and task.run.__code__.co_argcount
    ]

    assert takers == []


def test_every_limit_is_below_the_visibility_timeout() -> None:
    assert tasks_end_in_time() == []


def test_a_task_that_may_outlive_its_message_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.CELERY_BROKER_TRANSPORT_OPTIONS, "visibility_timeout", 20)

    problems = tasks_end_in_time()

    assert {problem.id for problem in problems} == {"loa.E010"}
    assert any("billing.drain_finalize" in problem.msg for problem in problems)


def test_only_json_is_accepted_late_acknowledged_and_never_stored() -> None:
    conf = current_app.conf

    assert (list(conf.accept_content), conf.task_serializer) == (["json"], "json")
    assert (conf.task_acks_late, conf.task_reject_on_worker_lost, conf.task_ignore_result) == (True, True, True)
    assert conf.worker_prefetch_multiplier == 1


def test_a_message_carries_the_correlation_id_of_its_sender() -> None:
    headers: dict[str, Any] = {}
    with correlated("quo_1234"):
        site_celery.carry_context(headers=headers)

    assert headers["loa_correlation_id"] == "quo_1234"


def test_a_task_runs_under_the_id_of_its_message_and_leaves_nothing_behind() -> None:
    request = SimpleNamespace(headers={"loa_correlation_id": "quo_5678", "traceparent": "nonsense"})

    site_celery.enter_context(task_id="t1", task=SimpleNamespace(request=request))
    inside = correlation_id()
    site_celery.leave_context(task_id="t1")

    assert (inside, correlation_id()) == ("quo_5678", "")
