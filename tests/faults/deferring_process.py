"""A process that serves a call whose booking is refused: `python -m tests.faults.deferring_process`; says its ids."""

import json
import time


def main() -> None:
    """Defer one booking, and say how long that took."""
    import django

    django.setup()
    from tests.billing.dead_letters.test_finalize_drain import TOO_MUCH
    from tests.factories import ledger
    from tests.factories.ledger import PaidCall

    ledger.make_payment_table()
    from billing.domain.errors import FinalizeDeferred
    from billing.services.finalization import finalize

    finalize(payment=PaidCall().settle().request(1))
    call = PaidCall(amount=2_000).settle()
    began = time.perf_counter()
    try:
        finalize(payment=call.request(TOO_MUCH))
    except FinalizeDeferred as deferred:
        facts = {"letter": deferred.facts["dead_letter_id"], "entry": call.entry_id, "wallet": call.wallet}
        print(json.dumps({**facts, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
