"""Every documented operation on a live site, asked as its document says and as it does not: no failure, no lie.

Requests are made by schemathesis from docs/openapi.yaml. What nobody may meet: an answer of 500, a status or media type
or body the document does not name, a problem without a registered code.
"""

import collections
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker
from requests.exceptions import InvalidHeader
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import FeatureFlag
from telemetry.problem_codes import PROBLEM_CODES
from tests.fuzz.people import Person
from tests.journeys.live_site import ROOT, LiveSite
from tests.x402.purchasing import Member

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(3_600)]

SCHEMA = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
# What takes away what the others need: asked at the end.
LAST = ("POST /api/v1/admin/feature-flags", "POST /api/v1/admin/allowlist", "DELETE /api/v1/keys/{key_id}")
LEAVES = ("POST /api/v1/auth/logout",)  # asked with a token of its own each time: it ends the sign-in
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module", autouse=True)
def _flags_as_before(people: list[Person], django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Flags that were changed on the way are set back: the database is the whole run's."""
    with django_db_blocker.unblock():
        before = list(FeatureFlag.objects.values())
    yield
    with django_db_blocker.unblock():
        for row in before:
            FeatureFlag.objects.filter(name=row["name"]).update(**row)


@pytest.mark.parametrize("label", [*(name for name in OPERATIONS if name not in LAST), *LAST])
def test_whatever_is_sent_the_answer_is_as_documented(
    label: str,
    site: LiveSite,
    people: list[Person],
    identities: list[dict[str, str]],
    asked: collections.Counter[str],
    django_db_blocker: DjangoDbBlocker,
    examples: int,
) -> None:
    operation = OPERATIONS[label]
    can_be_wrong = bool(operation.query or operation.body)  # any text is a path parameter or a header
    modes = [GenerationMode.POSITIVE] + [GenerationMode.NEGATIVE] * can_be_wrong

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        for mode in modes:
            case = data.draw(operation.as_strategy(generation_mode=mode))
            owner = data.draw(st.sampled_from(people))
            for name, value in owner.possessions.items():
                if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                    case.path_parameters[name] = value
            is_staffs = "/admin/" in label
            callers = identities[1::-1] if is_staffs else [*identities[2:] * 2, {}]  # the first is tried most
            headers = data.draw(st.sampled_from(callers))
            if label in LEAVES:
                with django_db_blocker.unblock():
                    headers = Member(owner.buyer).bearer
            try:
                response = case.call(base_url=f"http://127.0.0.1:{site.port}", headers=headers, timeout=70)
            except InvalidHeader:
                reject()
            asked[f"{response.status_code} {label}"] += 1
            require_honest(response)
            # The facilitator refuses in the protocol's own words (200, `isValid` false); staff's cookie is always sent.
            is_judged = not (is_staffs or "/facilitator/" in label)
            case.validate_response(response, checks=CHECKS + [negative_data_rejection] * is_judged)

    ask()


def require_honest(response: Any) -> None:
    """Not a failure of ours; and if it is a refusal, one that is registered, under the status it has."""
    told = (response.request.method, response.request.url, response.request.body, response.status_code, response.text)
    assert response.status_code not in (500, 501, 504), told
    if response.status_code < 400:
        return
    problem = json.loads(response.text)
    assert problem["status"] == response.status_code, told
    assert "Traceback" not in response.text, told
    if response.status_code != 402:
        assert problem["code"] in PROBLEM_CODES, told
    assert problem["type"].endswith("/" + problem["code"].replace("_", "-")), told
    assert response.status_code != 503 or "Retry-After" in response.headers, told
