"""Bodies that are still on their way have their share of the threads and no more."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from loa_site.arriving_bodies import ArrivingBodiesMiddleware


class HeldBody(BytesIO):
    """A body that does not arrive before it is let go."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked, self.may_arrive = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.set()
        assert self.may_arrive.wait(30)
        return super().read(size)


def posting(body: BytesIO, *, size: int, address: str = "198.51.100.7") -> HttpRequest:
    return RequestFactory().generic(
        "POST",
        "/",
        content_type="application/json",
        REMOTE_ADDR=address,
        CONTENT_LENGTH=str(size),
        **{"wsgi.input": body},
    )


@pytest.fixture
def middleware(settings: Settings) -> ArrivingBodiesMiddleware:
    settings.LOA = settings.LOA | {"BODIES_PER_CLIENT": 2, "BODIES_PER_PROCESS": 3}
    return ArrivingBodiesMiddleware(lambda request: HttpResponse(request.read()))


@contextmanager
def arriving(middleware: ArrivingBodiesMiddleware, *addresses: str, size: int = 2) -> Iterator[list[HeldBody]]:
    """Bodies of these clients, each waited for in a thread of its own."""
    bodies = [HeldBody(b"{}") for _ in addresses]
    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = [
            threads.submit(middleware, posting(body, size=size, address=address))
            for body, address in zip(bodies, addresses, strict=True)
        ]
        assert all(body.asked.wait(30) for body in bodies)
        yield bodies
        for body in bodies:
            body.may_arrive.set()
        assert [answer.result(30).status_code for answer in answers] == [200] * len(bodies)


def test_a_client_above_its_share_is_told_to_come_back_and_others_are_served(
    middleware: ArrivingBodiesMiddleware,
) -> None:
    with arriving(middleware, "198.51.100.7", "198.51.100.7"):
        refused = middleware(posting(BytesIO(b"{}"), size=2))
        of_another = middleware(posting(BytesIO(b"{}"), size=2, address="198.51.100.8"))
        without_body = middleware(RequestFactory().get("/", REMOTE_ADDR="198.51.100.7"))
    afterwards = middleware(posting(BytesIO(b"{}"), size=2))

    assert (refused.status_code, refused["Retry-After"]) == (429, "1")
    assert (of_another.status_code, without_body.status_code) == (200, 200)
    assert (afterwards.status_code, afterwards.content) == (200, b"{}")


def test_all_together_leave_threads_free(middleware: ArrivingBodiesMiddleware) -> None:
    with arriving(middleware, "198.51.100.1", "198.51.100.2", "198.51.100.3"):
        refused = middleware(posting(BytesIO(b"{}"), size=2, address="198.51.100.4"))

    assert refused.status_code == 429


def test_a_large_body_keeps_its_place_until_it_is_answered(
    middleware: ArrivingBodiesMiddleware, settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"BODIES_PER_CLIENT": 1, "BODY_BYTES": 1}
    with arriving(middleware, "198.51.100.7"):
        refused = middleware(posting(BytesIO(b"{}"), size=2))

    assert refused.status_code == 429


def test_a_body_that_breaks_off_is_refused() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise UnreadablePostError("gone")

    answer = ArrivingBodiesMiddleware(lambda _request: HttpResponse())(posting(Broken(), size=2))

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
