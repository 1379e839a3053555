"""The stand-in's sockets: bytes come with the time at which the kernel had them."""

import asyncio
import socket
import time

from services.simulator.stream import Listener


class Clock:
    now_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class Reader:
    """Keeps what came, and answers with as many bytes as it is told."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.came: list[tuple[bytes, int]] = []
        self.bell = asyncio.Event()
        self.is_closed = False

    def opened(self, stream) -> None:
        self.stream = stream

    def feed(self, data: bytes, arrived_ns: int) -> None:
        self.came.append((data, arrived_ns))
        if self.answer:
            self.stream.write(self.answer)
        self.bell.set()

    def closed(self) -> None:
        self.is_closed = True
        self.bell.set()


def serve(reader: Reader, talk) -> None:
    async def run() -> None:
        listener = Listener(0, lambda: reader, Clock)
        try:
            async with asyncio.timeout(10):
                await talk(listener.port)
        finally:
            listener.close()

    asyncio.run(run())


def test_a_reader_that_is_late_still_learns_when_the_bytes_came():
    async def talk(port: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"first")
        await reader.bell.wait()
        reader.bell.clear()
        before = time.monotonic_ns()
        client.sendall(b"second")
        sent = time.monotonic_ns()
        time.sleep(0.2)  # the process is held up, as on a busy machine
        await reader.bell.wait()
        (_, (data, arrived_ns)) = reader.came
        assert data == b"second"
        assert before - 1_000_000 <= arrived_ns <= sent + 50_000_000
        client.close()

    reader = Reader()
    serve(reader, talk)


def test_an_answer_larger_than_the_socket_takes_arrives_whole_and_is_then_closed():
    async def talk(port: int) -> None:
        answer, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"please")
        await reader.bell.wait()
        reader.stream.write(b"the end")
        reader.stream.close()
        reader.stream.write(b"never")
        got = await answer.read(-1)
        assert len(got) == len(reader.answer) + len(b"the end")
        assert got.endswith(b"the end")
        assert reader.is_closed
        writer.close()

    reader = Reader(answer=b"x" * 20_000_000)
    serve(reader, talk)


def test_a_client_that_goes_away_is_noticed_and_writing_to_it_is_no_trouble():
    async def talk(port: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"hello")
        await reader.bell.wait()
        reader.bell.clear()
        client.close()
        await reader.bell.wait()
        assert reader.is_closed
        reader.stream.write(b"anybody?")
        reader.stream.close()

    reader = Reader()
    serve(reader, talk)
