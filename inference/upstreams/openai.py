"""An upstream that speaks the OpenAI chat API at a URL: the real one, or any server that imitates it.

Asked through `outbound`, which bounds time and size and follows no redirect. The key is sent and never logged.
Source: OpenAI API reference, "Create chat completion".
"""

import json

from inference.domain.errors import UpstreamGarbage, UpstreamRefused, UpstreamUnavailable
from inference.domain.prices import Usage
from inference.upstreams.base import Completion, CompletionRequest
from outbound import http
from outbound.errors import AnswerRefused, OutboundError

TIMEOUT_SECONDS = 45.0  # below the 50 s after which a worker is told to stop
MAX_TOKENS_REPORTED = 100_000_000  # a larger figure is not a token count
OVERLOADED = frozenset({408, 409, 425, 429})


class OpenAIUpstream:
    """Completes chats at `{base_url}/chat/completions`."""

    def __init__(self, *, name: str, base_url: str, api_key: str = "", max_tokens_field: str = "max_tokens") -> None:
        self.name = name
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._max_tokens_field = max_tokens_field

    def complete(self, request: CompletionRequest) -> Completion:
        """Answer the chat. Raises UpstreamUnavailable, UpstreamRefused or UpstreamGarbage."""
        body = {
            "model": request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            self._max_tokens_field: request.max_tokens,
            "stream": False,
        }
        try:
            response = http.send(
                http.OutboundRequest(
                    method="POST",
                    url=self._url,
                    headers=self._headers,
                    body=json.dumps(body).encode(),
                    purpose="upstream",
                    read_timeout_seconds=TIMEOUT_SECONDS,
                    total_timeout_seconds=TIMEOUT_SECONDS,
                )
            )
            self._require_success(response.status)
            return self._completion(response.json())
        except AnswerRefused as error:
            raise UpstreamGarbage(self.name, error.reason) from error
        except OutboundError as error:
            raise UpstreamUnavailable(self.name, error.reason) from error

    def _require_success(self, status: int) -> None:
        if status == 200:
            return
        if status >= 500 or status in OVERLOADED:
            raise UpstreamUnavailable(self.name, f"answered {status}")
        raise UpstreamRefused(self.name, f"answered {status}")

    def _completion(self, answer: object) -> Completion:
        match answer:
            case {"choices": [{"message": {"content": str(content)}, **choice}, *_]} if content:
                reason = choice.get("finish_reason")
                return Completion(
                    answer=content,
                    usage=_usage(answer),
                    finish_reason=reason if isinstance(reason, str) else "stop",
                )
        raise UpstreamGarbage(self.name, "the answer holds no message")


def _usage(answer: object) -> Usage | None:
    """The reported token counts, or None where there are none that could be true."""
    match answer:
        case {"usage": {"prompt_tokens": int(read), "completion_tokens": int(written)}} if all(
            0 <= count <= MAX_TOKENS_REPORTED for count in (read, written)
        ):
            return Usage(input_tokens=read, output_tokens=written)
    return None
