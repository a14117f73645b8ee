"""`loa(name)`: known names only, documented defaults, values read at each call."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from telemetry.configuration import (
    DEFAULT_RATE_LIMITS,
    DEFAULTS,
    UnknownSetting,
    configuration_problems,
    loa,
    redis_key,
)


def test_a_limit_nobody_set_has_its_documented_default(settings: Settings) -> None:
    settings.LOA = {}

    assert loa("QUOTE_TTL_SECONDS") == 300
    assert loa("PAYMENT_CEILING_MICRO_USDC") == 100_000_000
    assert loa("MAX_CREDIT_BALANCE_MICRO_USDC") == 1_000_000_000_000
    assert loa("FINALIZE_RISK_LIMIT_MICRO_USD") == 5_000_000
    assert loa("CHANGE_LIFETIME_SECONDS") == 604_800
    assert loa("DEFAULT_MODEL") == "loa-demo"


def test_a_set_value_is_seen_at_the_next_call(settings: Settings) -> None:
    settings.LOA = {"WAIT_SECONDS": 5}

    assert loa("WAIT_SECONDS") == 5


def test_a_name_outside_the_table_is_refused() -> None:
    misspelt: Any = "QUOTE_TTL"

    with pytest.raises(UnknownSetting) as refused:
        loa(misspelt)

    assert refused.value.name == "QUOTE_TTL"


def test_rate_limits_keep_the_figures_that_were_not_set(settings: Settings) -> None:
    settings.LOA = {"RATE_LIMITS": {"wallet": 3}}

    assert loa("RATE_LIMITS") == dict(DEFAULT_RATE_LIMITS) | {"wallet": 3}
    assert (loa("RATE_LIMITS")["key"], loa("RATE_LIMITS")["challenge"]) == (60, 120)


def test_misspelt_names_and_wrong_types_are_told_one_by_one(settings: Settings) -> None:
    settings.LOA = {"QUOTE_TTL": 300, "WAIT_SECONDS": "60", "POSTGRES_FAILOVER": 1, "BODY_BYTES": True}

    problems = configuration_problems()

    assert [problem.split()[0] for problem in problems] == [
        "LOA['BODY_BYTES']",
        "LOA['POSTGRES_FAILOVER']",
        "LOA['QUOTE_TTL']",
        "LOA['WAIT_SECONDS']",
    ]


def test_the_settings_of_this_site_have_no_problem() -> None:
    assert configuration_problems() == []


def test_no_secret_has_a_built_in_value() -> None:
    secrets = [name for name in DEFAULTS if name.endswith(("KEY", "PEPPER", "TOKEN"))]

    assert {DEFAULTS[name] for name in secrets} == {""}


def test_a_redis_key_is_the_plans_name_behind_the_prefix(settings: Settings) -> None:
    settings.LOA = {"REDIS_KEY_PREFIX": "{loa}:"}

    assert redis_key("wal:writer:last_accepted:test") == "{loa}:wal:writer:last_accepted:test"
