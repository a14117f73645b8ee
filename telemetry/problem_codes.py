"""Every problem this service answers with: its code, its status, its title, and what the caller does next.

A code is stable and snake_case; the same words in kebab-case are the last part of the problem's `type`, where a page
explains it. 401 is about identity only, 402 about money only. Source: product.md, "What each situation answers".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """What a code means, whatever the circumstances."""

    code: str
    status: int
    title: str
    next_step: str

    @property
    def slug(self) -> str:
        """The code in kebab-case, as in the problem's `type`."""
        return self.code.replace("_", "-")


SAME_PAYLOAD: Final = "Send the same payload again after the time in Retry-After; a new one could pay twice."
FRESH_TERMS: Final = "Sign the terms in this answer and send the request again. The refused payment was not taken."
FIX_REQUEST: Final = "Correct the request as the detail says and send it again. Nothing was charged."
SIGN_IN: Final = "Sign in at /api/v1/auth/nonce and /api/v1/auth/verify, then repeat with the bearer token."
WAIT: Final = "Repeat the request after the time in Retry-After."

_TABLE: Final = (
    # 400: not readable, or contradictory.
    ("invalid_payment_header", 400, "The payment header cannot be decoded", FIX_REQUEST),
    ("payment_header_too_large", 400, "The payment header is too large", FIX_REQUEST),
    ("ambiguous_payment", 400, "More than one way of paying was sent", "Send one payment header or one key, not both."),
    ("invalid_json", 400, "The body is not valid JSON", FIX_REQUEST),
    ("invalid_body", 400, "The body is not what its media type promises", FIX_REQUEST),
    ("invalid_request", 400, "The request cannot be read", FIX_REQUEST),
    ("invalid_idempotency_key", 400, "The idempotency key is malformed", "Send 16 to 128 letters, digits, - or _."),
    ("idempotency_key_required", 400, "An idempotency key is required", "Send the header Idempotency-Key."),
    ("invalid_csp_report", 400, "The report is not a CSP report", "Browsers need do nothing."),
    ("invalid_cursor", 400, "The cursor is not one of ours", "Start at the first page."),
    # 401 and 403: identity.
    ("authentication_required", 401, "This needs a signed-in wallet", SIGN_IN),
    ("invalid_api_key", 401, "The API key is not valid", "Check the key, or create a new one."),
    ("invalid_session", 401, "The session is unknown, expired or revoked", SIGN_IN),
    ("invalid_sign_in", 401, "The sign-in was refused", "Fetch a new nonce, sign the message again and send it once."),
    ("invalid_wallet_proof", 401, "The wallet proof was refused", "Fetch a new nonce and sign for this very request."),
    ("forbidden", 403, "This is not allowed", "Use an account that may do this."),
    ("insufficient_scope", 403, "The API key may not do this", "Use a key with the scope that the detail names."),
    ("wallet_not_served", 403, "This wallet is not served here", "Ask the operator; nothing was taken."),
    ("not_allowlisted", 403, "This wallet has not been let in yet", "Join the waitlist at /waitlist/, or ask."),
    ("not_the_owner", 403, "The wallet does not own this token", "Choose a token that the wallet owns."),
    ("ownership_changed", 403, "The token is not the wallet's any more", "Choose a token that the wallet owns now."),
    ("csrf_failed", 403, "The CSRF token is missing or wrong", "Load the page again and repeat."),
    # 402: money.
    ("payment_required", 402, "This request must be paid for", "Sign one of the offers and send the request again."),
    ("payment_refused", 402, "The payment was refused", FRESH_TERMS),
    ("quote_expired", 402, "The quote has expired", FRESH_TERMS),
    ("quote_unknown", 402, "The quote is not one of ours", FRESH_TERMS),
    ("quote_revoked", 402, "The quote was revoked", FRESH_TERMS),
    ("request_changed", 402, "The request is not the one the quote was for", FRESH_TERMS),
    ("resource_mismatch", 402, "The payment is for another resource", FRESH_TERMS),
    ("credit_changed", 402, "The credit this quote counted on is no longer there", FRESH_TERMS),
    ("insufficient_credit", 402, "The credit does not cover this request", "Pay by x402, or add credit."),
    ("insufficient_funds", 402, "The balance does not cover this request", "Top up, or pay by x402."),
    ("key_cap_reached", 402, "The key's daily cap does not cover this request",
     "Wait for the next UTC day, raise the key's cap, or pay by x402."),
    # 404 to 415: the resource and its form.
    ("not_found", 404, "There is nothing here", "Check the address."),
    ("unknown_flag", 404, "There is no such flag", "Choose one of GET /api/v1/admin/feature-flags."),
    ("payment_not_found", 404, "No such payment", "Check the payment id."),
    ("key_not_found", 404, "No such API key", "List the keys at GET /api/v1/keys."),
    ("refund_not_found", 404, "No such refund", "List the refunds at GET /api/v1/credits/refunds."),
    ("collection_unknown", 404, "This site knows no such collection", "Name a collection that this site knows."),
    ("personality_not_found", 404, "The token has no personality yet", "Its owner gives it one at /onboarding/."),
    ("version_not_found", 404, "There is no such version", "List the versions and choose one of them."),
    ("picture_not_found", 404, "There is no picture of this token", "Show the token's name instead."),
    ("onboarding_not_found", 404, "There is no such onboarding", "Begin at POST /api/v1/onboarding/start."),
    ("method_not_allowed", 405, "This method is not allowed here", "Use a method of the header Allow."),
    ("not_acceptable", 406, "This form of answer is not available", "Accept application/json."),
    ("payment_already_used", 409, "This payment belongs to another request or another asker",
     "Ask for the payment's state by its id; sign in as the payer to get the stored answer."),
    ("nonce_already_used", 409, "This authorization was used before", "Sign a new authorization and send it once."),
    ("idempotency_key_in_flight", 409, "A request with this key is still running", WAIT),
    ("wrong_state", 409, "The state does not allow this any more", "Read the state again."),
    ("too_many_keys", 409, "The account has as many API keys as it may", "Revoke a key that is not used any more."),
    ("wallet_taken", 409, "The wallet belongs to another account", "Sign in with that wallet itself."),
    ("too_many_wallets", 409, "The account has as many wallets as it may", "Make another account with the wallet."),
    ("version_conflict", 409, "It was changed meanwhile", "Read it again and send your change with its new version."),
    ("personality_exists", 409, "The token has a personality already", "Change it with PUT and its version."),
    ("credit_not_final", 409, "The credit comes from a payment that is not final yet", WAIT),
    ("refund_needs_approval", 409, "This refund needs a person's approval",
     "Ask the operator: the wallet's daily limit is reached. The credit stays where it is."),
    ("credit_note_cap_exceeded", 409, "The wallet's credit would exceed its cap", "Spend or refund credit first."),
    ("onboarding_expired", 410, "The onboarding has ended", "Begin anew at POST /api/v1/onboarding/start."),
    ("answer_expired", 410, "The stored answer is no longer kept",
     "The payment was served; its receipt is in this answer."),
    ("payload_too_large", 413, "The body is too large", FIX_REQUEST),
    ("unsupported_media_type", 415, "This media type is not accepted here", FIX_REQUEST),
    # 422: readable, and wrong.
    ("invalid_parameters", 422, "A value is not acceptable", FIX_REQUEST),
    ("invalid_token", 422, "This is no token, collection or wallet", FIX_REQUEST),
    ("instructions_refused", 422, "The instructions are not accepted", FIX_REQUEST),
    ("unknown_model", 422, "There is no such model", "Choose one of GET /api/v1/models."),
    ("empty_prompt", 422, "The prompt is empty", FIX_REQUEST),
    ("prompt_too_long", 422, "The prompt is longer than the model takes", FIX_REQUEST),
    ("unknown_own_key", 422, "There is no such key of yours", "Choose one of GET /api/v1/byok/keys."),
    ("own_key_invalid", 422, "The provider does not accept this key", "Check the key with its provider."),
    ("unknown_upstream", 422, "There is no such provider", "Choose one that the answer names."),
    ("capability_missing", 422, "The model cannot do what is asked", "Choose another of GET /api/v1/models."),
    ("invalid_max_tokens", 422, "max_tokens is not acceptable", FIX_REQUEST),
    ("price_above_ceiling", 422, "The request would cost more than one payment may", FIX_REQUEST),
    ("idempotency_key_reused", 422, "The key was used for another request", "Use a new key for a new request."),
    # 429 and 5xx: later, or elsewhere.
    ("rate_limited", 429, "Too many requests", WAIT),
    ("own_key_limit_reached", 429, "The daily limit of this key is reached", "Raise its limit, or wait for tomorrow."),
    ("feature_disabled", 503, "This is switched off", WAIT),
    ("detection_unavailable", 503, "Ownership cannot be looked up now", WAIT),
    ("upstream_unavailable", 503, "The provider cannot be asked now", WAIT),
    ("too_many_streams", 503, "Too many answers are being streamed", WAIT),
    ("header_too_large", 431, "The request's headers are too large", FIX_REQUEST),
    ("internal_error", 500, "Something failed on our side", "Ask for the payment's state before you pay again."),
    ("upstream_failed", 502, "The model's provider failed", "What was paid is a credit note now; repeat the request."),
    ("paid_work_failed", 502, "The work failed after payment",
     "The whole amount is a credit note, named in this answer; repeat the request, or ask for a refund."),
    ("stream_interrupted", 502, "The stream ended before the answer did",
     "What arrived was charged, the rest is a credit note; ask for the payment's state by its id."),
    ("own_key_refused", 502, "Your key was not accepted",
     "What was paid is a credit note now; check the key with POST /api/v1/byok/validate."),
    ("work_interrupted", 502, "The work was interrupted after payment",
     "The whole amount is a credit note, named in this answer; repeat the request, or ask for a refund."),
    ("settlement_too_slow", 502, "The money did not come in time for the work",
     "The answer says whether anything was taken, and what was is a credit note; repeat the request."),
    ("answer_not_fetched", 410, "The answer was not fetched in time",
     "The whole amount is a credit note, named in this answer."),
    ("facilitator_refused", 502, "The facilitator's answer cannot be understood", WAIT),
    ("payment_in_progress", 503, "This payment is being settled or served", SAME_PAYLOAD),
    ("settlement_unknown", 503, "The outcome of the settlement is not known yet", SAME_PAYLOAD),
    ("settlement_unavailable", 503, "Payments cannot be settled right now", SAME_PAYLOAD),
    ("refunds_stopped", 503, "Refunds are stopped for now", WAIT),
    ("service_unavailable", 503, "The service is not ready", WAIT),
    ("recovery_in_progress", 503, "The ledger is being recovered", WAIT),
    ("pending_risk_cap", 503, "Too much is waiting to be booked", WAIT),
)  # fmt: skip

PROBLEM_CODES: Final[Mapping[str, ProblemCode]] = MappingProxyType(
    {code: ProblemCode(code, status, title, next_step) for code, status, title, next_step in _TABLE}
)


def problem_code(code: str, *, status: int = 500) -> ProblemCode:
    """What is registered for a code; reasons of the x402 specification stand for themselves with the given status.

    >>> problem_code("invalid_exact_evm_payload_signature", status=402).title
    'Invalid exact evm payload signature'
    """
    known = PROBLEM_CODES.get(code)
    if known is not None:
        return known
    next_step = FRESH_TERMS if status == 402 else FIX_REQUEST
    return ProblemCode(code, status, code.replace("_", " ").capitalize(), next_step)
