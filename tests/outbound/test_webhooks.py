"""Messages to strangers: signed as the standard says, and never sent where a stranger's URL must not lead."""

import base64
import hashlib
import hmac

import pytest

from outbound import webhooks
from outbound.webhooks import EndpointRefused, Message
from tests.factories.receivers import receiver

# The example of the Standard Webhooks specification, with its own key, id, time and body.
VECTOR_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')


def test_the_signature_is_that_of_the_standard() -> None:
    assert webhooks.signature_of(VECTOR, VECTOR_KEY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_accepts_what_was_signed_now_and_refuses_every_change() -> None:
    headers = {
        "webhook-id": VECTOR.id,
        "webhook-timestamp": str(VECTOR.timestamp),
        "webhook-signature": f"v1,{base64.b64encode(b'x' * 32).decode()} {webhooks.signature_of(VECTOR, VECTOR_KEY)}",
    }
    now = VECTOR.timestamp + 299

    assert webhooks.is_authentic(headers, VECTOR.body, secret=VECTOR_KEY, now=now)
    assert not webhooks.is_authentic(headers, VECTOR.body + b" ", secret=VECTOR_KEY, now=now)
    assert not webhooks.is_authentic(headers | {"webhook-id": "msg_2"}, VECTOR.body, secret=VECTOR_KEY, now=now)
    assert not webhooks.is_authentic(headers, VECTOR.body, secret=VECTOR_KEY, now=now + 2)
    assert not webhooks.is_authentic({}, VECTOR.body, secret=VECTOR_KEY, now=now)
    for name in headers:
        assert not webhooks.is_authentic(headers | {name: "\ud800"}, VECTOR.body, secret=VECTOR_KEY, now=now)


def test_a_secret_follows_from_the_key_the_endpoint_and_its_version() -> None:
    made = webhooks.secret_of("ab" * 32, endpoint_id="whe_1", version=1)

    digest = hmac.new(b"ab" * 32, b"webhook:whe_1:1", hashlib.sha256).digest()
    assert made == f"whsec_{base64.b64encode(digest).decode()}"
    assert len({made, *(webhooks.secret_of("ab" * 32, endpoint_id="whe_1", version=v) for v in (2, 3))}) == 3
    with pytest.raises(EndpointRefused):
        webhooks.secret_of("", endpoint_id="whe_1", version=1)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://user@example.com/",
        "gopher://example.com/",
        "https:///nothing",
        "javascript:alert(1)",
        "",
    ],
)
def test_a_url_that_is_never_called_is_refused_when_it_is_stored(url: str) -> None:
    with pytest.raises(EndpointRefused):
        webhooks.require_url(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "2130706433", "localhost"])
def test_a_host_inside_our_network_is_never_told_anything(host: str) -> None:
    outcome = webhooks.deliver(VECTOR, url=f"https://{host}/hook", secrets=[VECTOR_KEY])

    assert (outcome.status, outcome.is_delivered) == (None, False)
    assert "AddressRefused" in outcome.error or "EndpointRefused" in outcome.error


def test_a_redirect_is_an_answer_and_is_not_followed(settings) -> None:
    with receiver(302) as stranger:
        settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [stranger.origin]}

        outcome = webhooks.deliver(VECTOR, url=stranger.url, secrets=[VECTOR_KEY])

        assert (outcome.status, outcome.is_delivered, len(stranger.received)) == (302, False, 1)
