"""What becomes of an accepted mail, by its address alone and therefore the same every time."""

import enum
import hashlib
from typing import Final

_MAILBOX_DOMAIN: Final = "@simulator.amazonses.com"
EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class Fate(enum.StrEnum):
    """What becomes of one recipient of an accepted mail."""

    DELIVERY = "delivery"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    OUT_OF_OFFICE = "ooto"
    GLOBALLY_SUPPRESSED = "suppressionlist"
    SUPPRESSED = "suppressed"
    REJECT = "reject"
    UNRENDERED = "unrendered"


_MAILBOXES: Final = {
    "success": Fate.DELIVERY,
    "bounce": Fate.BOUNCE,
    "complaint": Fate.COMPLAINT,
    "ooto": Fate.OUT_OF_OFFICE,
    "suppressionlist": Fate.GLOBALLY_SUPPRESSED,
}
_SCALE: Final = 2.0**64


def is_mailbox_simulator(address: str) -> bool:
    """Tell SES's own test mailboxes, which count to the rate but not to the quota."""
    return address[-len(_MAILBOX_DOMAIN) :].lower() == _MAILBOX_DOMAIN


def share_of(address: str, seed: bytes) -> float:
    """Place an address between 0 and 1, the same place in every run of one seed."""
    digest = hashlib.blake2b(address.lower().encode(), digest_size=8, key=seed[:64]).digest()
    return int.from_bytes(digest) / _SCALE


class Oracle:
    """Knows every address's fate from the seed and the shares."""

    def __init__(self, seed: str, bounce_share: float, complaint_share: float) -> None:
        self._seed = seed.encode()
        self._bounce = bounce_share
        self._complaint = bounce_share + complaint_share

    def fate_of(self, address: str) -> Fate:
        """Foretell one address that is on no suppression list."""
        if is_mailbox_simulator(address):
            mailbox = address.lower().partition("@")[0].partition("+")[0]
            return _MAILBOXES.get(mailbox, Fate.BOUNCE)
        if self._complaint <= 0:
            return Fate.DELIVERY
        place = share_of(address, self._seed)
        if place < self._bounce:
            return Fate.BOUNCE
        return Fate.COMPLAINT if place < self._complaint else Fate.DELIVERY
