"""The OpenAI interface: `POST /v1/chat/completions` and `GET /v1/models`, so that stock clients work.

Paid like every endpoint, by API key, credit notes or an x402 header. What goes wrong is a problem document that also
has the member `error` in the form those clients read; a 402 keeps its terms beside it.
"""

import json
import time
from collections.abc import Generator, Iterator
from functools import wraps

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from inference.api.openai_answer import DONE, AnswerHead, error_document, error_event
from inference.api.paid import PaidHttpRequest, View, takes_json_posts
from inference.domain.chat import ChatRequest
from inference.domain.errors import InferenceError, UpstreamError, UpstreamMisconfigured
from inference.domain.openai_request import parse_openai_request
from inference.selectors.catalogue import offered_model, offered_models
from inference.services import own_keys
from inference.services.completion import PaidCompletion, complete_order
from inference.services.orders import PaidOrder, order_of
from inference.services.own_keys import OwnKeyError
from inference.services.pricing import ChatPrice
from inference.services.streams import StreamedAnswer
from inference.services.usage import Consumed, record_usage
from telemetry import names
from telemetry.configuration import loa
from telemetry.problem import MEDIA_TYPE, problem_response
from x402.paywall import PaidContext, requires_payment
from x402.protocol.errors import UnpriceableRequest
from x402.services.streaming import open_streams

log = structlog.get_logger(__name__)

OWNER = "loa"


def admit(chat: ChatRequest, account_id: str) -> None:
    """Refuse what cannot be served now: a stream too many (503), a key of the buyer's that is used up (429).

    Raises UnpriceableRequest.
    """
    own_keys.require_usable(chat, account_id=account_id)
    if chat.is_stream and len(open_streams) >= loa("STREAMS_PER_PROCESS"):
        raise UnpriceableRequest("too_many_streams", "As many answers are being streamed as this process can.")


def speaks_openai(view: View) -> View:
    """Give every problem the member `error` that clients of this interface read."""

    @wraps(view)
    def speaking(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if isinstance(response, HttpResponse) and response.headers.get("Content-Type") == MEDIA_TYPE:
            problem = json.loads(response.content)
            problem["error"] = error_document(
                f"{problem['detail']} {problem.get('next_step', '')}".strip(),
                code=problem["code"],
                status=response.status_code,
                param=problem.get("field"),
            )
            response.content = json.dumps(problem).encode()
        return response

    return speaking


@takes_json_posts
@speaks_openai
@requires_payment(
    price=ChatPrice(parse_openai_request, admit=admit),
    description="One answer of a language model, charged by its tokens",
    atomic=False,
)
def chat_completions(request: PaidHttpRequest) -> HttpResponseBase:
    """Answer the chat that was paid for, whole or as a stream; an upstream's failure is failed work."""
    paid = request.x402
    try:
        order = _order(paid)
        if order.chat.is_stream:
            return _stream(paid, StreamedAnswer(order))
        return _whole(paid, order, complete_order(order))
    except InferenceError as failure:
        return _failed(failure)


def _order(paid: PaidContext) -> PaidOrder:
    """What was paid for, with the buyer's own key where one is named. Raises InferenceError."""
    chat = parse_openai_request(paid.json)
    if not chat.own_key:
        return order_of(chat, price_version=paid.price_version)
    own = own_keys.take(chat.own_key, account_id=paid.account_id)
    return order_of(chat, price_version=paid.price_version, api_key=own.secret, upstream=own.upstream)


def _whole(paid: PaidContext, order: PaidOrder, made: PaidCompletion) -> HttpResponse:
    paid.charge(made.cost_micro_usdc)
    consumed = Consumed(
        payment_id=paid.payment_id,
        account_id=paid.account_id,
        order=order,
        upstream=made.upstream,
        metered=made.metered,
        finish_reason=made.finish_reason,
        charged_micro_usdc=min(made.cost_micro_usdc, paid.maximum_micro_usdc),
    )
    record_usage(consumed)
    paid.describe(consumed.facts())
    answer = _head(paid, order).completion(
        made.answer,
        made.tool_calls,
        finish_reason=made.finish_reason,
        usage=made.usage,
        loa=_account(paid, consumed),
    )
    return JsonResponse(answer)


def _stream(paid: PaidContext, answer: StreamedAnswer) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_Events(paid, answer), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


class _Events:
    """The events of one streamed answer. `close` charges what was made so far, if the client has gone."""

    def __init__(self, paid: PaidContext, answer: StreamedAnswer) -> None:
        self._paid = paid
        self._answer = answer
        self._consumed: Consumed | None = None
        self._is_recorded = False
        self._events = self._made()

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """The stream is over, whoever ended it."""
        self._events.close()
        self._answer.close()
        self._record(self._consumed or self._charge("disconnected"))

    def _made(self) -> Generator[bytes]:
        paid, answer, head = self._paid, self._answer, _head(self._paid, self._answer.order)
        yield head.opening()
        is_cut = False
        for piece in answer:
            paid.charge(answer.cost_so_far)
            yield head.part(piece)
            if paid.must_end:
                is_cut = True
                break
        answer.close()
        consumed = self._charge("interrupted" if is_cut else answer.finish_reason)
        account = head.account(consumed.metered.billed, loa=_account(paid, consumed))
        if is_cut or answer.failure is not None:
            yield account
            self._record(consumed)
            yield paid.finish(error_event(_broken(answer)))
            return
        yield head.ending(answer.finish_reason)
        yield account
        self._record(consumed)
        yield paid.finish(DONE)

    def _charge(self, finish_reason: str) -> Consumed:
        """Report what the answer cost."""
        paid, answer = self._paid, self._answer
        metered = answer.metered()
        cost = answer.order.cost_of(metered.billed)
        paid.charge(cost)
        self._consumed = Consumed(
            payment_id=paid.payment_id,
            account_id=paid.account_id,
            order=answer.order,
            upstream=answer.upstream,
            metered=metered,
            finish_reason=finish_reason,
            charged_micro_usdc=min(cost, paid.maximum_micro_usdc),
        )
        paid.describe(self._consumed.facts())
        return self._consumed

    def _record(self, consumed: Consumed) -> None:
        """Write the usage down, just before the booking that gives the database connection back."""
        if not self._is_recorded:
            self._is_recorded = True
            record_usage(consumed)


def _broken(answer: StreamedAnswer) -> dict[str, object]:
    code = "upstream_failed" if answer.failure is not None else "stream_interrupted"
    words = "The stream ended before the answer did. What arrived is charged, the rest was given back."
    return error_document(words, code=code, status=502)


def _head(paid: PaidContext, order: PaidOrder) -> AnswerHead:
    return AnswerHead(id=f"chatcmpl-{paid.payment_id}", model=order.model.name, created=int(time.time()))


def _account(paid: PaidContext, consumed: Consumed) -> dict[str, object]:
    return {
        "payment_id": paid.payment_id,
        "price_version": paid.price_version,
        "quoted_micro_usdc": str(paid.maximum_micro_usdc),
        "charged_micro_usdc": str(consumed.charged_micro_usdc),
        "change_micro_usdc": str(paid.remaining(consumed.charged_micro_usdc)),
    }


def _failed(failure: InferenceError) -> HttpResponse:
    """502: no usable answer came. The paywall credits the whole amount and answers with the note."""
    if isinstance(failure, UpstreamError):
        log.warning(names.UPSTREAM_FAILED, upstream=failure.upstream, code=failure.code, reason=failure.reason)
    code = "own_key_refused" if isinstance(failure, (OwnKeyError, UpstreamMisconfigured)) else "upstream_failed"
    return problem_response(code, detail="The model behind this endpoint gave no usable answer.")


@speaks_openai
def models(request: HttpRequest) -> HttpResponse:
    """Everything on sale, in the interface's form; prices are at `/api/v1/models`."""
    if request.method not in ("GET", "HEAD"):
        return problem_response("method_not_allowed", headers={"Allow": "GET, HEAD"})
    return JsonResponse({"object": "list", "data": [_model(model.name) for model in offered_models()]})


@speaks_openai
def model(request: HttpRequest, name: str) -> HttpResponse:
    """One model on sale."""
    if request.method not in ("GET", "HEAD"):
        return problem_response("method_not_allowed", headers={"Allow": "GET, HEAD"})
    if offered_model(name) is None:
        return problem_response("unknown_model", 404, "This model is not offered.")
    return JsonResponse(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


urlpatterns = [
    path("chat/completions", chat_completions, name="openai-chat-completions"),
    path("models", models, name="openai-models"),
    path("models/<path:name>", model, name="openai-model"),
]
