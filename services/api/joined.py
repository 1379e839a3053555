"""An answer on its way out: its head together with what follows."""

import asyncio

_INTERIM = b"HTTP/1.1 1"
"""How an answer begins that another one follows: 100 Continue (RFC 9110 §15.2)."""


class Joined:
    """What an answer is written to: its head goes out together with what follows it.

    uvicorn writes head and body one by one: two calls of the kernel and two packets, which the
    client wakes up for twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Keep the head; write it with the first of the body, the rest as it comes."""
        if not self._is_begun and data.startswith(_INTERIM):
            self._transport.write(data)  # the client waits for it before it sends more
        elif not self._is_begun:
            self._is_begun, self._head = True, data
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._transport.write(head + data)

    def end(self) -> None:
        """Write a head that nothing followed; what comes now is another answer."""
        if self._head is not None:
            self._transport.write(self._head)
        self._head, self._is_begun = None, False

    def is_closing(self) -> bool:
        """Tell whether the connection is being closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after what was written."""
        self.end()
        self._transport.close()
