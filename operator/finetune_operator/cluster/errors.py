"""Every way a call to the API server can fail, as few named classes, and which are tried again."""


class ApiError(Exception):
    """The API server did not do what it was asked."""

    retriable = False
    """Whether the same request may succeed by itself a moment later."""

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asked to be left alone, if it did."""


class NotFoundError(ApiError):
    """The object, its namespace or its kind is not there."""


class ConflictError(ApiError):
    """The object changed, or was replaced by another of its name, since it was read."""


class RefusedError(ApiError):
    """The object is not valid; the same object never will be."""


class ForbiddenError(ApiError):
    """Permission, quota or an admission policy stands against it; those may change."""


class NotLeadingError(ApiError):
    """A write was not sent, because this replica leads no longer."""


class UnauthorizedError(ApiError):
    """The credentials were not accepted; a token that has rotated is read again."""

    retriable = True


class ThrottledError(ApiError):
    """The server has too much to do at the moment."""

    retriable = True


class UnavailableError(ApiError):
    """The server could not be reached, did not answer in time, or failed itself."""

    retriable = True


BY_STATUS: dict[int, type[ApiError]] = {
    400: RefusedError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: RefusedError,
    406: RefusedError,
    408: UnavailableError,
    409: ConflictError,
    410: ConflictError,
    413: RefusedError,
    415: RefusedError,
    422: RefusedError,
    429: ThrottledError,
}


def from_status(status: int, message: str, retry_after: float | None = None) -> ApiError:
    """The error for an HTTP status of 400 or more; an unlisted one counts as the server's fault."""
    return BY_STATUS.get(status, UnavailableError)(message, status, retry_after)
