"""Gates 0 to 4 on a site of its own, whole: all hold, and each criterion that is broken for real is the one named.

The site is a process with a database, a relayer and Redis keys of its own; AWS is moto's. `infra/gates/gate-check.sh`
asks both, as an operator would.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from django.conf import settings
from eth_account import Account

import contracts
from inference.selectors.catalogue import SNAPSHOT_SECONDS
from loa_site.gates.criteria import CRITERIA, GATE_NAMES
from telemetry.identifiers import new_id
from tests.factories.own_database import own_database_of_a_test
from tests.factories.own_ledger import OwnLedger
from tests.gates.cloud import ENVIRONMENT, Cloud, cloud
from tests.gates.test_gate_check import AWS_CRITERIA, GREEN, failed, run
from tests.journeys.live_site import LiveSite
from tests.journeys.paying import INVOKE, funded, header_for
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.slow, pytest.mark.journey, pytest.mark.timeout(600)]

CHAIN = "eip155:84532"
TOKEN = "gate-token-of-the-tests"
QUESTION = {"model": "loa-demo", "prompt": "Is the gate open?", "max_tokens": 8}


@dataclass(slots=True)
class Whole:
    """A running site, its database, and the stand-in for AWS."""

    site: LiveSite
    urls: dict[str, str]
    cloud: Cloud

    def failing(self, gate: int = 4) -> dict[str, str]:
        """The criteria that do not hold, with what was found, as the API tells."""
        answer = self.site.ask("GET", f"/api/v1/gates/{gate}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status == 200, answer.body
        return {check["name"]: check["detail"] for check in answer.json()["checks"] if check["status"] == "FAIL"}

    def until(self, names: list[str]) -> dict[str, str]:
        """What fails once exactly these criteria do; the site keeps some answers for a second or two."""
        deadline = time.monotonic() + 120 * SNAPSHOT_SECONDS
        while list(found := self.failing()) != names:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found

    def script(self, *arguments: str, token: str = TOKEN, **variables: str) -> tuple[int, list[str], dict[str, object]]:
        """gate-check.sh against this site and this cloud: its exit code, what failed, and the document."""
        reach = self.cloud.environment | {"BASE_URL": f"http://127.0.0.1:{self.site.port}", "GATE_TOKEN": token}
        code, checks, document = run(*arguments, **(reach | {"TIMEOUT_SECONDS": "60"} | variables))
        return code, failed(checks), document

    def tamper(self, statement: str) -> None:
        """Do to this site's database what nobody may, as somebody who owns the server."""
        OwnLedger(self.urls["DATABASE_URL"].rpartition("/")[2], self.urls).tamper(statement)

    @contextmanager
    def restarted(self, **variables: str) -> Iterator[None]:
        """The site with other variables, until the block ends."""
        self.site.kill()
        before, self.site.variables = self.site.variables, self.site.variables | variables
        try:
            self.site.start()
            yield
        finally:
            self.site.kill()
            self.site.variables = before
            self.site.start()


def mint_agent(chain: LocalChain, buyer: Buyer) -> None:
    """One token of the local collection, so that there is a holder to take through."""
    from web3 import Web3

    address = Web3.to_checksum_address(contracts.LOCAL_AGENTS_ADDRESS)
    target = Web3().eth.contract(address=address, abi=contracts.load("LocalAgents").abi)
    data = target.encode_abi("mint", [Web3.to_checksum_address(buyer.address), int(buyer.address, 16)])
    chain.send_mined(Account.create().key.hex(), address, data)


@pytest.fixture(scope="module")
def whole(django_db_setup: None) -> Iterator[Whole]:
    relayer, chain = Account.create(), LocalChain(settings.LOA["NETWORKS"][CHAIN]["rpc_urls"][0])
    chain.call("anvil_setBalance", relayer.address, hex(10**20))
    buyer = funded()
    mint_agent(chain, buyer)
    with own_database_of_a_test() as urls, cloud() as aws:
        aws.build()
        variables = urls | {
            "LOA_REDIS_KEY_PREFIX": f"{new_id('run')}:",
            "LOA_RELAYER_PRIVATE_KEY": "0x" + bytes(relayer.key).hex(),
            "LOA_METRICS_TOKEN": TOKEN,
            "LOA_OWN_KEY_ENCRYPTION": "77" * 32,
            "LOA_NFT_COLLECTIONS": json.dumps({f"{CHAIN}/erc721:{contracts.LOCAL_AGENTS_ADDRESS}": {"name": "Agent"}}),
        }
        with LiveSite(variables) as site:
            paid = site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(site, buyer, QUESTION)})
            assert paid.status == 200, paid.body
            yield Whole(site, urls, aws)


@pytest.mark.parametrize("gate", sorted(GATE_NAMES))
def test_each_gate_passes_for_the_script(whole: Whole, gate: int) -> None:
    code, failing, document = whole.script(str(gate))

    assert (failing, code, document["overall"]) == ([], 0, "PASS"), document
    assert document["passed"] == len(AWS_CRITERIA) + sum(one.gate <= gate for one in CRITERIA) + int(gate == 4)


def test_a_wrong_token_fails_every_criterion_of_the_service(whole: Whole) -> None:
    code, failing, _ = whole.script("4", token="wrong")

    assert (code, failing) == (1, [one.name for one in CRITERIA])


A_BALANCE = "WHERE account_id = (SELECT min(account_id) FROM billing.balance)"
A_LETTER = (
    "INSERT INTO billing.dead_letter (id, queue, subject_id, reason, state, next_retry_at, payload) VALUES"
    " ('dlq_of_the_gates', 'finalize', 'pay_of_the_gates', 'wrong_state', 'poisoned', now(),"
    " jsonb_build_object('schema_version', 1))"
)
# Each criterion, how it is broken in the database, and how that is undone.
BROKEN = {
    "Billing state machine responds": (
        "REVOKE EXECUTE ON FUNCTION billing.append_batch FROM loa_app",
        "GRANT EXECUTE ON FUNCTION billing.append_batch TO loa_app",
    ),
    "Conservation guard healthy": (
        f"UPDATE billing.balance SET posted = posted + 1 {A_BALANCE}",
        f"UPDATE billing.balance SET posted = posted - 1 {A_BALANCE}",
    ),
    "NFT personality CRUD works": (
        "REVOKE INSERT ON nft_personalityversion FROM loa_app",
        "GRANT INSERT ON nft_personalityversion TO loa_app",
    ),
    "Onboarding flow completes": (
        "REVOKE INSERT ON nft_onboardingsession FROM loa_app",
        "GRANT INSERT ON nft_onboardingsession TO loa_app",
    ),
    "Feature flags configurable": (
        "REVOKE INSERT, UPDATE ON accounts_featureflag FROM loa_app",
        "GRANT INSERT, UPDATE ON accounts_featureflag TO loa_app",
    ),
    "x402 payment flow operational": (
        "UPDATE x402_payment SET served_at = served_at - interval '2 days'",
        "UPDATE x402_payment SET served_at = served_at + interval '2 days'",
    ),
    "Multi-model routing works": (
        "UPDATE inference_model SET is_offered = false WHERE name <> 'loa-demo'",
        "UPDATE inference_model SET is_offered = true",
    ),
    "No alarm condition holds": (
        A_LETTER,
        "UPDATE billing.dead_letter SET state = 'voided' WHERE id = 'dlq_of_the_gates'",
    ),
}
# Who stands on what is broken fails with it: readiness asks whether the ledger may be appended to, and the flow of
# onboarding ends with a personality.
FAILING_TOO = {
    "Billing state machine responds": ["Service is ready", "Billing state machine responds"],
    "NFT personality CRUD works": ["NFT personality CRUD works", "Onboarding flow completes"],
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_is_broken_in_the_database_is_the_criterion_that_fails(whole: Whole, name: str) -> None:
    breaking, mending = BROKEN[name]
    whole.until([])

    whole.tamper(breaking)
    try:
        found = whole.until(FAILING_TOO.get(name, [name]))
    finally:
        whole.tamper(mending)

    assert found[name]
    assert whole.until([]) == {}


def test_what_is_broken_by_a_setting_is_the_criterion_that_fails(whole: Whole) -> None:
    with whole.restarted(LOA_PAYMENT_CEILING_MICRO_USDC="1000000", LOA_OWN_KEY_ENCRYPTION="file:/nowhere"):
        assert list(whole.failing()) == ["Credit purchase works", "BYOK validation works"]

    with whole.restarted(LOA_DEFAULT_MODEL="no-such-model"):
        assert list(whole.failing(1)) == ["Quote generation works"]


def test_a_node_that_is_gone_is_a_service_that_is_not_ready(whole: Whole) -> None:
    with whole.restarted(RPC_URL="http://127.0.0.1:1"):
        code, failing, document = whole.script("0")

    assert (code, document["overall"]) == (1, "FAIL")
    assert failing == ["Service is ready"]


def test_every_criterion_of_the_service_is_broken_somewhere_here() -> None:
    by_a_setting = {"Credit purchase works", "BYOK validation works", "Quote generation works", "Service is ready"}

    assert set(BROKEN) | by_a_setting == {one.name for one in CRITERIA}


def test_what_is_broken_in_the_cloud_is_the_criterion_that_fails(whole: Whole) -> None:
    name, cloudwatch = f"loa-finn-alarm-0-{ENVIRONMENT}", whole.cloud.client("cloudwatch")

    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="broken on purpose")
    assert whole.script("4")[:2] == (1, [GREEN])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="mended")

    whole.cloud.put_alarm(name, [])
    assert whole.script("0")[:2] == (1, ["SNS alarm topic wired"])
    whole.cloud.put_alarm(name, [whole.cloud.topic_arn])

    assert whole.script("0", SERVICE="loa-finn-elsewhere")[:2] == (1, ["ECS service exists and ACTIVE"])
    assert whole.script("0", TOPIC="nobody")[:2] == (1, ["SNS alarm topic wired"])
    assert whole.script("0", ENVIRONMENT="other")[1] == [*AWS_CRITERIA[:1], *AWS_CRITERIA[2:]]
    assert whole.script("0", HEALTH_ENDPOINT=f"http://127.0.0.1:{whole.site.port}/none")[1] == list(AWS_CRITERIA[1:2])
