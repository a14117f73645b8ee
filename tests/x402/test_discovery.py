"""What is sold here is listed from the URLconf, with the terms that hold for every request (attack 14)."""

import pytest
from django.conf import settings as site
from django.test import Client

from x402.services import discovery

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.discovery_urls")]


@pytest.fixture(autouse=True)
def _this_urlconf() -> None:
    discovery.listings.cache_clear()


def test_every_paid_path_is_listed_with_its_terms_and_nothing_else_is() -> None:
    document = Client().get("/facilitator/discovery/resources").json()

    by_resource = {item["resource"]: item for item in document["items"]}
    assert set(by_resource) == {"http://testserver/fixed", "http://testserver/shelf/{name}", "http://testserver/chat"}
    fixed = by_resource["http://testserver/fixed"]
    assert (fixed["type"], fixed["metadata"]["description"]) == ("http", "A fixed price")
    offer = fixed["accepts"][0]
    assert (offer["amount"], offer["network"]) == ("10000", "eip155:84532")
    assert offer["payTo"] == site.LOA["NETWORKS"]["eip155:84532"]["pay_to"]
    assert "quote" not in offer["extra"]
    assert by_resource["http://testserver/shelf/{name}"]["metadata"]["routeTemplate"] == "/shelf/{name}"
    assert by_resource["http://testserver/chat"]["accepts"] == []
    assert document["pagination"] == {"limit": 20, "offset": 0, "total": 3}


@pytest.mark.parametrize(
    ("query", "found"),
    [("limit=1", ["/chat"]), ("limit=1&offset=1", ["/fixed"]), ("offset=9", []), ("type=mcp", [])],
)
def test_the_list_comes_in_pages(query: str, found: list[str]) -> None:
    document = Client().get(f"/facilitator/discovery/resources?{query}").json()

    assert [item["resource"] for item in document["items"]] == [f"http://testserver{path}" for path in found]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1", "offset=-1", "offset=1e9", "limit=²"])
def test_a_page_that_makes_no_sense_is_refused(query: str) -> None:
    answer = Client().get(f"/facilitator/discovery/resources?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")


def test_the_well_known_document_names_resources_facilitator_and_recipient() -> None:
    document = Client().get("/.well-known/x402").json()

    assert document["resources"] == [f"http://testserver{path}" for path in ("/chat", "/fixed", "/shelf/{name}")]
    assert document["facilitator"] == "http://testserver/facilitator"
    assert document["payTo"] == {"eip155:84532": site.LOA["NETWORKS"]["eip155:84532"]["pay_to"]}
