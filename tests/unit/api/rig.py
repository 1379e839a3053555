"""The API without sockets: requests in, letters out, the other actors played by the test."""

import asyncio
import inspect
from collections.abc import Callable, Iterable

import msgspec
from starlette.testclient import TestClient

from services.api.actor import Api
from services.api.app import Parts, build
from services.api.body import BodyRoom
from services.api.line import Line
from services.api.reads import Reads
from shared.clock import Now
from shared.config import Settings
from shared.domain import RecipientId, State, SubmissionId
from shared.errors import StoreError
from shared.protocol import (
    AccountState,
    CancelTopic,
    CheckPost,
    Message,
    NotStored,
    Order,
    OrderDone,
    OrderRefused,
    PostChecked,
    ReleaseAtSes,
    ReleasedAtSes,
    Stored,
    Submit,
    TopicCancelled,
    WriterState,
)
from shared.store.listing import Suppressed
from shared.store.read import Install, Reader, TopicFacts
from shared.token import open_token
from shared.wire import Letter

KEY = "k" * 32
SECOND_KEY = "second-" + "k" * 32
SECRET = b"s" * 32
WALL = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def at(seconds: float) -> Now:
    """Answer a reading of the clocks, so many seconds after the beginning."""
    return Now(1000.0 + seconds, WALL + seconds)


def settings(**changed: object) -> Settings:
    """Answer settings that are well in every way."""
    known: dict[str, object] = {
        "server_url": "https://mail.example.com",
        "api_key": (KEY, SECOND_KEY),
        "aws_ses_from_email": "news@example.com",
        "aws_ses_configuration_set": "events",
        "sns_topic_arn": ("arn:aws:sns:eu-west-1:123456789012:events",),
    }
    return Settings(**{**known, **changed})  # type: ignore[arg-type]


def writer_state(**changed: object) -> WriterState:
    """Answer the state of a writer that is well."""
    account = AccountState(rate=24, rate_source="setting", read_at=1, sandbox=False)
    known: dict[str, object] = {
        "epoch": 1,
        "seq": 1,
        "storing": True,
        "trouble": "",
        "account": account,
    }
    return WriterState(**{**known, **changed})  # type: ignore[arg-type]


def stored(submit: Submit, **changed: object) -> Stored:
    """Answer what the writer says of a submission it has committed."""
    success = sum(len(mail.emails) for mail in submit.mails)
    known: dict[str, object] = {
        "submission": submit.submission,
        "original": submit.submission,
        "total": success + submit.tally.errors + submit.tally.duplicates,
        "success": success,
        "suppressed": 0,
        "duration_ms": 7,
        "scheduled_at": submit.scheduled_at,
        "tally": submit.tally,
        "firsts": tuple(firsts(submit)),
    }
    return Stored(**{**known, **changed})  # type: ignore[arg-type]


def firsts(submit: Submit) -> Iterable[int]:
    """Answer the id of each mail's first recipient, as if they began with 1001."""
    first = 1001
    for mail in submit.mails:
        yield first
        first += len(mail.emails)


def facts(requests: dict[str, int], results: dict[str, int], **known: object) -> TopicFacts:
    """Answer what the database knows of a topic."""
    return TopicFacts(
        {**dict.fromkeys((one.word for one in State), 0), **requests}, results, **known
    )


class FakeStore:
    """The database as the API reads it."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicFacts] = {}
        self.suppressed: dict[str, Suppressed] = {}
        self.listing = self
        self.submissions: dict[str, Stored] = {}
        self.sent = 0
        self.asked: list[tuple[int, int]] = []
        self.installed = True
        self.broken = False

    def topic(self, name: str) -> TopicFacts:
        self._work()
        return self.topics.get(name, facts({}, {}))

    def suppressions(self, after: str, limit: int) -> list[Suppressed]:
        self._work()
        return [self.suppressed[email] for email in sorted(self.suppressed) if email > after][
            :limit
        ]

    def suppression(self, email: str) -> Suppressed | None:
        self._work()
        return self.suppressed.get(email)

    def sent_since(self, now_ms: int, hours: int) -> int:
        self._work()
        self.asked.append((now_ms, hours))
        return self.sent

    def stored(self, submission: SubmissionId) -> Stored | None:
        self._work()
        return self.submissions.get(submission) or self.submissions.get("any")

    def install(self) -> Install | None:
        self._work()
        return Install("abc", SECRET) if self.installed else None

    def _work(self) -> None:
        if self.broken:
            raise StoreError("cannot read the database /secret/path: broken")


class Rig:
    """An API whose clock stands still, and whose writer and `results` answer at once."""

    def __init__(
        self,
        peer: str = "127.0.0.1",
        *,
        simulated: bool = False,
        reader: Reader | None = None,
        **changed: object,
    ) -> None:
        self.now = at(0)
        self.actor = Api(epoch=5)
        self.store = reader or FakeStore()
        self.letters: list[Letter] = []
        self.writer_alive = True
        self.answer: Callable[[Message], Message | None] = answer
        self.line = Line(self.actor, self.post, lambda: self.now)
        self.reads = Reads(self.store)
        self.app = build(
            Parts(
                settings(**changed),
                self.actor,
                self.line,
                self.reads,
                lambda: self.writer_alive,
                simulated,
            )
        )
        self.client = TestClient(self.app, client=(peer, 4711), raise_server_exceptions=False)
        self.hear(writer_state())

    def hear(self, message: Message) -> None:
        """Give the actor a message."""
        list(self.actor.receive(message, self.now))

    def post(self, letters: Iterable[Letter]) -> None:
        """Take what the API sends; whoever does not answer is waited for in no time."""
        letters = list(letters)
        for letter in letters:
            self.letters.append(letter)
            said = self.answer(letter.message)
            if said is not None:
                self.hear(said)
            elif isinstance(letter.message, Order | CheckPost | Submit | ReleaseAtSes):
                self.pass_time()
        if not letters and self.actor._watches:
            self.pass_time()  # somebody waits for a level of the writer

    def pass_time(self) -> None:
        """Let 30 seconds go by, tick by tick."""
        for tenths in range(1, 300):
            for letter in self.actor.tick(at(tenths / 10)):
                self.letters.append(letter)
                said = self.answer(letter.message)
                if said is not None:
                    self.hear(said)

    def sent(self, kind: type[Message]) -> list[Message]:
        """Answer the messages of one kind that the API sent."""
        return [letter.message for letter in self.letters if isinstance(letter.message, kind)]

    def ask(self, method: str, path: str, body: object = None, **headers: str):
        """Send a request with a key; a body of bytes as it is, another as JSON."""
        keyed = {"X-API-KEY": KEY, **{name.replace("_", "-"): v for name, v in headers.items()}}
        if isinstance(body, bytes):
            keyed.setdefault("Content-Type", "application/json")
            return self.client.request(method, path, content=body, headers=keyed)
        return self.client.request(method, path, json=body, headers=keyed)

    def send(self, body: object = None, **headers: str):
        """POST /v1/messages with a key."""
        return self.ask("POST", "/v1/messages", body, **headers)

    def level(self, **changed: object) -> None:
        """Have the writer say anew how it is."""
        assert self.actor.writer is not None
        state = {"seq": self.actor.writer.seq + 1, **changed}
        self.hear(msgspec.structs.replace(self.actor.writer, **state))

    def room(self) -> BodyRoom:
        """Answer the memory for bodies of POST /v1/messages."""
        guarded = self.app._app._app.router.routes[0].endpoint  # type: ignore[attr-defined]
        by_method = inspect.getclosurevars(guarded).nonlocals["endpoint"]
        doors = inspect.getclosurevars(by_method).nonlocals["by_method"]
        return doors["POST"].__self__._room

    def stream(self, headers: list[tuple[bytes, bytes]], chunk: bytes | None) -> tuple[int, int]:
        """POST a body without end; answer the status and how often it was read.

        An empty chunk stands for a client that goes away, None for one that falls silent.
        """
        return asyncio.run(self._stream(headers, chunk))

    async def _stream(
        self, headers: list[tuple[bytes, bytes]], chunk: bytes | None
    ) -> tuple[int, int]:
        said = []
        reads = 0

        async def receive() -> dict[str, object]:
            nonlocal reads
            reads += 1
            if chunk is None:
                await asyncio.Event().wait()
            if chunk == b"":
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": True}

        async def send(message: dict[str, object]) -> None:
            said.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/messages", "query_string": b""}
        scope |= {"headers": headers, "client": ("127.0.0.1", 1), "root_path": ""}
        await self.app(scope, receive, send)
        return said[0]["status"], reads


def answer(message: Message) -> Message | None:
    """Answer as actors do that are well."""
    match message:
        case Submit():
            return stored(message)
        case CancelTopic():
            return TopicCancelled(message.order, 3, 1)
        case ReleaseAtSes():
            return ReleasedAtSes(message.order, len(message.emails))
        case _ if isinstance(message, Order):
            return OrderDone(message.order, 3, 1)
        case CheckPost():
            return PostChecked(message.post, 200)
        case _:
            return None


def not_stored(code: str) -> Callable[[Message], Message | None]:
    """Answer as a writer does that refuses submissions."""
    return lambda message: (
        NotStored(message.submission, code) if isinstance(message, Submit) else answer(message)
    )


def refusing(code: str, **more: object) -> Callable[[Message], Message | None]:
    """Answer as a writer does that finds orders impossible."""
    return lambda message: (
        OrderRefused(message.order, code, **more)  # type: ignore[arg-type]
        if isinstance(message, Order)
        else answer(message)
    )


def mail(**changed: object) -> dict[str, object]:
    """Answer one message of a request."""
    return {"emails": ["ann@example.com"], "subject": "Hello", "content": "<p>Hi</p>", **changed}


def body(*mails: dict[str, object], **changed: object) -> dict[str, object]:
    """Answer a request."""
    return {"messages": list(mails) or [mail()], **changed}


def token(recipient: int, secret: bytes = SECRET) -> str:
    """Answer the token of a recipient's open pixel."""
    return open_token(secret, RecipientId(recipient))
