"""What the stand-in refuses, in the words of AWS.

Exception
├── RefusalError    a call refused the way SES or SNS would refuse it
└── SettingsError   settings that cannot be served, all named at once
"""

import msgspec

# What msgspec raises for bytes that are no JSON, no UTF-8, or not of the wanted shape.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)

_STATUS = {
    "TooManyRequestsException": 429,
    "NotFoundException": 404,
    "NotFound": 404,
    "AccessDeniedException": 403,
    "MissingAuthenticationTokenException": 403,
    "InvalidSignatureException": 403,
    "SignatureDoesNotMatch": 403,
    "MissingAuthenticationToken": 403,
    "AuthorizationError": 403,
    "RequestEntityTooLarge": 413,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
    "RequestTimeout": 408,
    "ConcurrentModificationException": 500,
}


class RefusalError(Exception):
    """A call refused as SES or SNS refuses it: code, HTTP status and sentence."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status if status is not None else _STATUS.get(code, 400)


class SettingsError(Exception):
    """Settings that cannot be served; every one of them is named."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def bad_request(message: str) -> RefusalError:
    """The refusal SES gives to a request it can read but not accept."""
    return RefusalError("BadRequestException", message)
