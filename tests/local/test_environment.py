"""That settings come from the environment in their types, and that what is wrong there stops the start."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from loa_site import checks
from loa_site.local import wallets
from loa_site.settings.environment import Environment


def test_values_are_read_in_their_types() -> None:
    env = Environment({"A": "12", "B": "yes", "C": "x, y", "D": '{"k": 1}', "E": "id:secret,id2:other", "F": ""})

    assert env.integer("A") == 12
    assert env.boolean("B", False) is True
    assert env.names("C") == ["x", "y"]
    assert env.json("D") == {"k": 1}
    assert env.keys("E") == {"id": "secret", "id2": "other"}
    assert env.optional("F") is None


@pytest.mark.parametrize("text", ["-1", "1.5", "0x10", " 7", "1e3", "seven", "٣"])
def test_only_plain_digits_are_a_number(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="A must be a whole number"):
        Environment({"A": text}).integer("A")


def test_a_missing_secret_has_no_default() -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY must be set"):
        Environment({}).text("SECRET_KEY")


def test_a_misspelt_setting_stops_the_start() -> None:
    env = Environment({"LOA_PAY_TO": "0x1", "LOA_PAYTO": "0x2", "OTHER": "3"})
    env.text("LOA_PAY_TO")

    with pytest.raises(ImproperlyConfigured, match=r"Unknown environment variables: LOA_PAYTO\."):
        env.refuse_unknown()


def test_a_database_url_keeps_special_characters_and_options() -> None:
    url = "postgresql://us%40er:p%2Fss@db.example.com:6432/loa?sslmode=require"

    database = Environment({"DATABASE_URL": url}).database("DATABASE_URL")

    assert (database["USER"], database["PASSWORD"], database["PORT"]) == ("us@er", "p/ss", "6432")
    assert database["OPTIONS"] == {"sslmode": "require"}


@pytest.mark.parametrize("url", ["mysql://u@h/d", "postgresql://u@h", "loa"])
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="must be a URL like postgresql://"):
        Environment({"DATABASE_URL": url}).database("DATABASE_URL")


@pytest.mark.parametrize("key", [wallets.relayer().private_key, "0x" + "0" * 63 + "1"])
def test_only_a_deployment_refuses_keys_that_everybody_has(key: str) -> None:
    is_ours = wallets.is_public_key(key)
    network = {"eip155:8453": {"pay_to": "0x" + "ab" * 20}}
    facts = {"RELAYER_PRIVATE_KEY": key, "NETWORKS": network, "PUBLIC_ORIGIN": "https://pay.example.com"}

    with override_settings(LOA=facts | {"ENVIRONMENT": "production"}):
        found = [problem.id for problem in checks.keys_are_not_public()]
    with override_settings(LOA=facts | {"ENVIRONMENT": "local"}):
        locally = checks.keys_are_not_public()

    assert found == (["loa.E002"] if is_ours else [])
    assert locally == []
