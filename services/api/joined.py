"""An answer on its way out: its head together with what follows."""

import asyncio


class Joined:
    """What an answer is written to: its head goes out together with what follows it.

    uvicorn writes head and body one by one: two calls of the kernel and two packets, the larger
    half of what a short answer costs.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Keep the head; write it with the first of the body, the rest as it comes."""
        if not self._is_begun:
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

    def close(self) -> None:
        """Close the connection after what was written."""
        self.end()
        self._transport.close()
