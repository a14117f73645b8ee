"""Row 2 and rule R22: the same payment many times at once, in one process and across two."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client

from tests.attacks import shop
from tests.attacks.score import Attack
from tests.attacks.tools import again, in_background, rebuilt, row_of, until
from tests.journeys.live_site import Answer, LiveSite
from tests.x402.buyer import decoded, terms_of

ROW = pytest.mark.attacks("2 duplicate race")
SITE = {"DJANGO_SETTINGS_MODULE": "tests.attacks.shop_settings", "LOA_WAIT_SECONDS": "20"}


def patiently(site: LiveSite, headers: dict[str, str], path: str = "/slow") -> Answer:
    """Ask with the same payload until something else than 503 comes."""
    deadline = time.monotonic() + 90
    while True:
        answer = site.ask("GET", path, headers=headers)
        if answer.status != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


def live_terms(answer: Answer) -> dict[str, object]:
    return decoded({name.upper(): value for name, value in answer.headers.items()}["PAYMENT-REQUIRED"])


@ROW
@pytest.mark.urls("tests.attacks.shop")
@pytest.mark.parametrize("path", ["/item/eight", "/slow"])
def test_eight_at_once_are_one_charge_and_one_run(attack: Attack, path: str) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask(path)))}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: again(buyer).ask(path, headers=headers), range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(shop.runs.values()) == 1
    attack.saw(*answers)


@ROW
@pytest.mark.urls("tests.attacks.shop")
def test_eight_version_one_payers_at_once_get_the_answer_or_the_state(attack: Attack) -> None:
    buyer = attack.buyer()
    headers = {"X-PAYMENT": buyer.v1_header(buyer.ask("/slow").json())}
    shop.gate.clear()

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(lambda: again(buyer).ask("/slow", headers=headers)) for _ in range(8)]
        until(lambda: sum(shop.runs.values()) == 1)
        shop.gate.set()
        answers = [future.result(30) for future in futures]

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"payment_already_used"}
    attack.saw(*answers)


@ROW
@pytest.mark.urls("tests.attacks.shop")
def test_one_payment_for_eight_different_things_at_once_buys_one(attack: Attack) -> None:
    buyer = attack.buyer()
    headers = {"X-PAYMENT": buyer.v1_header(buyer.ask("/item/0").json())}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: again(buyer).ask(f"/item/{n}", headers=headers), range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert sum(shop.runs.values()) == 1
    attack.saw(*answers)


@ROW
@pytest.mark.slow
@pytest.mark.parametrize("ways", [8, 50])
def test_many_at_once_across_two_processes_are_one_charge_and_one_run(
    attack: Attack, ways: int, tmp_path: Path
) -> None:
    buyer, runs = attack.buyer(), tmp_path / "runs"
    variables = SITE | {"SHOP_RUNS": str(runs)}
    with LiveSite(variables) as one, LiveSite(variables) as other:
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(one.ask("GET", "/slow")))}
        with ThreadPoolExecutor(ways) as pool:
            answers = list(pool.map(lambda n: patiently((one, other)[n % 2], headers), range(ways)))

    attack.other_runs += runs.read_text().split()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(attack.other_runs) == 1
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 2_000
    attack.saw(*answers)


@ROW
@pytest.mark.urls("tests.attacks.shop")
def test_a_chain_reader_among_the_waiting_gets_nothing(attack: Attack) -> None:
    buyer = attack.buyer()
    terms = terms_of(buyer.ask("/slow"))
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    shop.gate.clear()
    answer = in_background(lambda: again(buyer).ask("/slow", headers=headers))
    until(lambda: (row := row_of(buyer)) is not None and row.state == "serving")

    fresh = terms_of(Client().get("/slow"))
    stolen = [
        Client().get("/slow", headers=copy)
        for copy in rebuilt(attack.chain, row_of(buyer).transaction_hash, fresh["accepts"][0], fresh["resource"])
    ]
    shop.gate.set()
    bought = answer.result(30)

    assert bought.status_code == 200
    for one in stolen:
        assert (one.status_code, one.json()["code"], one.json()["state"]) == (409, "payment_already_used", "serving")
    attack.saw(bought)
    attack.stranger_saw(*stolen)


@pytest.mark.attacks("R22 replays as a denial of service")
@pytest.mark.urls("tests.attacks.shop")
def test_those_who_wait_for_one_payment_are_bounded_and_told_to_come_back(attack: Attack, settings) -> None:
    settings.LOA = settings.LOA | {"WAITERS_PER_PAYMENT": 4}
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/slow")))}
    shop.gate.clear()
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(lambda: again(buyer).ask("/slow", headers=headers)) for _ in range(12)]
        until(lambda: sum(future.done() for future in futures) == 8)
        refused = [future.result() for future in futures if future.done()]
        shop.gate.set()
        answers = [future.result(30) for future in futures]

    for one in refused:
        assert (one.status_code, one.json()["code"]) == (503, "payment_in_progress")
        assert one.json()["payment_id"].startswith("pay_")
        assert int(one["Retry-After"]) > 0
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 8
    attack.saw(*answers)


@pytest.mark.attacks("R22 replays as a denial of service")
@pytest.mark.urls("tests.attacks.shop")
def test_a_finished_payment_is_answered_to_any_number_at_once(attack: Attack, settings) -> None:
    settings.LOA = settings.LOA | {"WAITERS_PER_PAYMENT": 2}
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}
    bought = buyer.ask("/item/a", headers=headers)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: again(buyer).ask("/item/a", headers=headers), range(60)))

    assert {(answer.status_code, answer.content) for answer in answers} == {(200, bought.content)}
    attack.saw(bought, *answers)


@pytest.mark.attacks("R22 replays as a denial of service")
@pytest.mark.slow
def test_replays_of_unfinished_payments_leave_room_for_others(attack: Attack, tmp_path: Path) -> None:
    """Three payments whose work takes long, with sixteen replays each, on a server of 24 threads."""
    hogs = [attack.buyer() for _ in range(3)]
    variables = SITE | {
        "SHOP_RUNS": str(tmp_path / "runs"),
        "SHOP_GATE": str(tmp_path / "gate"),
        "LOA_WAITING_REPLAYS": "12",
    }
    with LiveSite(variables) as site:
        headers = [{"PAYMENT-SIGNATURE": hog.v2_header(live_terms(site.ask("GET", "/slow")))} for hog in hogs]
        with ThreadPoolExecutor(51) as pool:
            futures = [pool.submit(site.ask, "GET", "/slow", None, header) for header in headers for _ in range(17)]
            time.sleep(1.5)
            honest = attack.buyer()
            begun = time.monotonic()
            terms = live_terms(site.ask("GET", "/item/a"))
            bought = site.ask("GET", "/item/a", headers={"PAYMENT-SIGNATURE": honest.v2_header(terms)})
            seconds = time.monotonic() - begun
            (tmp_path / "gate").touch()
            answers = [future.result() for future in futures]
        answers += [patiently(site, header) for header in headers]

    attack.other_runs += (tmp_path / "runs").read_text().split()
    assert bought.status == 200
    assert {answer.status for answer in answers} <= {200, 503}
    assert seconds < 15, f"an honest payment took {seconds:.1f} s"  # those who wait may hold a thread for twenty
    attack.saw(bought, *answers)
