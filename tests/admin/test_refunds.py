"""A refund above a wallet's daily limit is paid when two people agree, to that wallet and that amount."""

import secrets

import pytest
from django.urls import reverse

from accounts.models import Account
from billing.models import Approval
from billing.services.finalization import credit_owed
from billing.services.refunds import mark_refundable
from loa_site.roles import FINANCE
from tests.admin.staff import browser_of, confirm, member
from tests.factories import ledger
from tests.factories.ledger import PaidCall
from x402.models import Reconciliation, Refund, RefundState
from x402.services import refunds
from x402.services.refunds import RefundRefused, Wish

pytestmark = pytest.mark.django_db(transaction=True)

ABOVE_THE_LIMIT = 1_500_000_000


@pytest.fixture
def payer(settings, transactional_db: None) -> PaidCall:
    """Somebody whose work failed, and who is owed more than a wallet may be refunded in a day."""
    roomy = {"REFUND_PRIVATE_KEY": "0x" + secrets.token_hex(32), "REFUND_DAILY_LIMIT_MICRO_USDC": 10**15}
    settings.LOA = {**settings.LOA, **roomy}  # whatever other tests refunded today
    newest = Reconciliation.objects.create(applied=True)
    Reconciliation.objects.filter(created_at__gte=newest.created_at).update(difference_count=0)
    ledger.make_payment_table()
    call = PaidCall(amount=ABOVE_THE_LIMIT, account_id=Account.objects.create(label="A payer").pk).settle()
    credit_owed(payment=call.request(0, to_state="credited"), reason="paid_work_failed")
    mark_refundable(sources=[call.payment_id])
    return call


def act_page(model: str, key: str, act: str) -> str:
    return reverse(f"admin:{model}_act", args=[key.replace("_", "_5F"), act])


def test_one_person_cannot_and_two_people_can_pay_above_the_limit(payer: PaidCall):
    with pytest.raises(RefundRefused):
        refunds.request(Wish(wallet=payer.wallet, account_id=payer.account_id))
    refused = Refund.objects.get(wallet=payer.wallet)
    assert (refused.state, refused.failure_code) == (RefundState.REFUSED, "refund_needs_approval")
    maker, checker = member(FINANCE), member(FINANCE)
    confirm(browser_of(maker), act_page("x402_refund", refused.pk, "above-limit"))
    approval = Approval.objects.get(destination=payer.wallet)
    assert (approval.destination, approval.amount) == (payer.wallet, ABOVE_THE_LIMIT)

    [alone] = confirm(browser_of(maker), act_page("billing_approval", approval.id, "agree"))
    assert "self_approval" in alone
    [together] = confirm(browser_of(checker), act_page("billing_approval", approval.id, "agree"))

    begun = Refund.objects.get(pk=approval.target)
    assert together.startswith(f"{begun.pk} is ")
    assert (begun.approval_id, begun.amount_micro_usdc, begun.wallet) == (approval.id, ABOVE_THE_LIMIT, payer.wallet)
    assert begun.state in (RefundState.STARTED, RefundState.SENT)
    assert ledger.notes_of(payer.wallet) == [("owed", ABOVE_THE_LIMIT, 0)]
