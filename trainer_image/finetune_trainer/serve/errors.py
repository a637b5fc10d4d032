"""What goes wrong with one request, as OpenAI's clients expect to be told."""


class RequestError(Exception):
    """Becomes `{"error": {message, type, param, code}}` with its status."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code

    def envelope(self) -> dict[str, object]:
        return envelope(str(self), self.type, self.param, self.code)


class UnknownModelError(RequestError):
    """Nobody answers under the name that was asked for."""

    status = 404


class TooManyRequestsError(RequestError):
    """As many requests wait as may."""

    status = 429
    type = "rate_limit_error"


class UnavailableNowError(RequestError):
    """Not loaded yet, going away, or too slow; the client may try again."""

    status = 503
    type = "server_error"


class GenerationError(RequestError):
    """The model failed; the log has the trace."""

    status = 500
    type = "server_error"


def envelope(message: str, type_: str, param: str | None, code: str | None) -> dict[str, object]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}
