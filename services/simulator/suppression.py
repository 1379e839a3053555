"""The account's suppression list."""

from typing import Any, Final

import msgspec

from services.simulator.errors import RefusalError, bad_request
from services.simulator.limits import address_problem

_REASONS: Final = ("BOUNCE", "COMPLAINT")
_MOST_PAGE: Final = 1000


class Suppressed(msgspec.Struct, frozen=True):
    """One listed address."""

    address: str
    reason: str
    since_s: float


class SuppressionList:
    """Addresses the account does not deliver to."""

    def __init__(self) -> None:
        self._listed: dict[str, Suppressed] = {}

    def __contains__(self, address: str) -> bool:
        """Tell whether an address is listed, whatever its case."""
        return bool(self._listed) and address.lower() in self._listed

    def __len__(self) -> int:
        """Count the listed addresses."""
        return len(self._listed)

    def clear(self) -> None:
        """Forget every address."""
        self._listed.clear()

    def add(self, address: str, reason: str, now_s: float) -> None:
        """List an address, as SES does by itself after a hard bounce or a complaint."""
        self._listed[address.lower()] = Suppressed(address, reason, now_s)

    def put(self, address: str, reason: str, now_s: float) -> dict[str, Any]:
        """Answer PutSuppressedDestination."""
        problem = address_problem(address)
        if problem is not None:
            raise bad_request(problem)
        if reason not in _REASONS:
            msg = f"Invalid suppression reason <{reason[:40]}>."
            raise bad_request(msg)
        self.add(address, reason, now_s)
        return {}

    def get(self, address: str) -> dict[str, Any]:
        """Answer GetSuppressedDestination."""
        found = self._listed.get(address.lower())
        if found is None:
            raise self._absent(address)
        return {"SuppressedDestination": {**_summary(found), "Attributes": {}}}

    def delete(self, address: str) -> dict[str, Any]:
        """Answer DeleteSuppressedDestination."""
        if self._listed.pop(address.lower(), None) is None:
            raise self._absent(address)
        return {}

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer ListSuppressedDestinations."""
        reasons = query.get("Reason") or list(_REASONS)
        start, size = _cut(query)
        found = [one for one in self._listed.values() if one.reason in reasons]
        answer: dict[str, Any] = {
            "SuppressedDestinationSummaries": [_summary(s) for s in found[start : start + size]]
        }
        if start + size < len(found):
            answer["NextToken"] = str(start + size)
        return answer

    @staticmethod
    def _absent(address: str) -> RefusalError:
        msg = f"Email address {address} does not exist on your suppression list."
        return RefusalError("NotFoundException", msg)


def _cut(query: dict[str, list[str]]) -> tuple[int, int]:
    try:
        start = int(query.get("NextToken", ["0"])[0])
    except ValueError:
        code, msg = "InvalidNextTokenException", "The specified request includes an invalid token."
        raise RefusalError(code, msg) from None
    try:
        size = int(query.get("PageSize", [str(_MOST_PAGE)])[0])
    except ValueError:
        size = 0
    if not 0 < size <= _MOST_PAGE:
        msg = f"PageSize must be between 1 and {_MOST_PAGE}."
        raise bad_request(msg)
    return start, size


def _summary(one: Suppressed) -> dict[str, Any]:
    return {
        "EmailAddress": one.address,
        "Reason": one.reason,
        "LastUpdateTime": round(one.since_s, 3),
    }
