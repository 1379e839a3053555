"""The last rendered mails, kept only where a test asks to read them."""

from collections import deque
from typing import Any, Final

from services.simulator.letters import Letter

_MOST: Final = 1000


class Mailbox:
    """The last thousand mails, one for each recipient; empty unless switched on."""

    def __init__(self, *, keep: bool) -> None:
        self.keeps = keep
        self._mails: deque[dict[str, Any]] = deque(maxlen=_MOST)

    def put(self, letter: Letter, message_id: str, api: str) -> None:
        """Keep a letter once for each of its recipients."""
        if not self.keeps:
            return
        for address in letter.everyone():
            self._mails.append(
                {
                    "address": address,
                    "message_id": message_id,
                    "api": api,
                    "from": letter.source,
                    "subject": letter.rendered.subject,
                    "html": letter.rendered.html,
                    "text": letter.rendered.text,
                    "headers": [[name, value] for name, value in letter.headers],
                    "tags": dict(letter.tags),
                    "rendering_failure": letter.error or None,
                }
            )

    def last(self, limit: int) -> list[dict[str, Any]]:
        """Give the last mails, oldest first."""
        return list(self._mails)[-limit:] if limit > 0 else []

    def clear(self) -> None:
        """Throw every mail away."""
        self._mails.clear()
