"""A refusal reaches a client that is still sending."""

from django.http import HttpResponse
from django.test import RequestFactory

from loa_site.unread_bodies import DROPPED_BYTES_MAX, UnreadBodyMiddleware


def answered(status, body):
    request = RequestFactory().post("/", body, content_type="application/json")
    response = UnreadBodyMiddleware(lambda _request: HttpResponse(status=status))(request)
    return request, response


def test_the_unread_body_of_a_refused_request_is_dropped():
    request, response = answered(413, b"x" * 1_000_000)

    assert response.status_code == 413
    assert request.read(1) == b""


def test_the_body_of_a_served_request_is_left_alone():
    request, _ = answered(200, b"still here")

    assert request.read() == b"still here"


def test_no_more_than_the_bound_is_read():
    request, _ = answered(413, b"x" * (DROPPED_BYTES_MAX + 10))

    assert request.read() == b"x" * 10


def test_a_body_that_was_read_already_is_no_matter():
    request = RequestFactory().post("/", b"{}", content_type="application/json")
    assert request.body == b"{}"

    response = UnreadBodyMiddleware(lambda _request: HttpResponse(status=422))(request)

    assert response.status_code == 422
