"""Everything that can be wrong with a chat request or with the model that should answer it.

One tree: `InferenceError`. A refused request is `InvalidChatRequest` and carries a stable `code`; it is told
before any price is named, so nobody pays for a request that could not have been answered.
"""


class InferenceError(Exception):
    """Raised when something about the models that are sold goes wrong; never raised itself."""

    code = "inference_error"


class InvalidChatRequest(InferenceError):
    """Raised when a well-formed body holds values that no model could answer.

    Attributes: `code` names the problem, `detail` says what to change, `field` is the part of the body meant.
    """

    def __init__(self, code: str, detail: str, *, field: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field


class UpstreamError(InferenceError):
    """Raised when the model behind an upstream gave no usable answer.

    Attributes: `upstream` is the configured name, `reason` a short text without secrets.
    """

    code = "upstream_failed"

    def __init__(self, upstream: str, reason: str) -> None:
        super().__init__(f"{upstream}: {reason}")
        self.upstream = upstream
        self.reason = reason


class UpstreamUnavailable(UpstreamError):
    """Raised when the upstream could not be reached, timed out, or said that it is overloaded."""

    code = "upstream_unavailable"


class UpstreamRefused(UpstreamError):
    """Raised when the upstream understood the request and declined it."""

    code = "upstream_refused"


class UpstreamMisconfigured(UpstreamRefused):
    """Raised when the upstream does not know our key or the model's name: another upstream may still answer."""

    code = "upstream_misconfigured"


class UpstreamGarbage(UpstreamError):
    """Raised when the upstream's answer does not have the shape its interface promises."""

    code = "upstream_garbage"
