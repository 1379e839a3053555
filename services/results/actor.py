"""The state of `results`: posts in, verified events to the writer, and the answers back."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from typing_extensions import override

from services.results import event, post, refusal
from services.results.certificate import Unfit
from services.results.keyring import Keyring
from services.results.post import Envelope
from services.results.posts import Post, Posts
from services.results.refusal import Refusal
from services.results.tally import Tally
from services.results.trust import Sealed, Trust
from shared import actor, crash, log
from shared.clock import Now
from shared.errors import StoreError
from shared.protocol import (
    CheckPost,
    ConfirmTopic,
    EarOpen,
    EventPost,
    EventsNotRecorded,
    EventsRecorded,
    Message,
    RecordEvents,
    TopicConfirmed,
)
from shared.wire import Letter

CONFIRMER: Final = "sender-0"
"""The sender that confirms subscriptions; every installation has it."""

_GLANCE_S = 0.02
_BUNDLE_S = 0.02
_HEARD_S = 2.5
_MOST_IN_A_FRAME = 500
_MOST_NOTE = 1000
_MOST_UNLISTED = 100


class Results(actor.Actor):
    """Believes what SNS signed for a listed topic, and says 200 only when it is committed."""

    def __init__(
        self, epoch: int, trust: Trust, keyring: Keyring, read_install: Callable[[], str | None]
    ) -> None:
        self._epoch = epoch
        self._trust = trust
        self._keyring = keyring
        self._read_install = read_install
        self._install: str | None = None
        self._posts = Posts()
        self._tally = Tally()
        self._waiting: dict[str, list[str]] = {}  # certificate address → posts
        self._fresh: list[Post] = []
        self._unlisted: dict[str, None] = {}
        self._api_epoch = 0
        self._heard_mono = -_HEARD_S
        self._second_at = 0.0
        self._record_at = 0.0
        self._is_recording = False
        self._stopping = False

    @override
    def receive(self, message: Message, now: Now) -> Iterable[Letter]:
        """Take a post, the answer to one, or the sign that the API listens."""
        match message:
            case CheckPost():
                return self._check(message, now)
            case EventsRecorded(posts=ids):
                self._is_recording = False
                return self._end(ids, None, now)
            case EventsNotRecorded(posts=ids, code=code):
                self._is_recording = False
                return self._end(ids, refusal.not_recorded(code), now)
            case TopicConfirmed():
                return self._confirmed(message, now)
            case EarOpen(epoch=epoch):
                self._api_epoch, self._heard_mono = epoch, now.mono
                return ()
            case _:
                return super().receive(message, now)

    @override
    def settle(self, now: Now) -> Iterable[Letter]:
        """Go on with posts whose certificate has come; send all that was verified at once."""
        letters: list[Letter] = []
        for url in self._keyring.collect(now):
            for id_ in self._waiting.pop(url, ()):
                waiting = self._posts.find(id_)
                if waiting is not None and waiting.sealed is not None:
                    letters += self._verify(waiting, waiting.sealed, now)
        return letters + self._record_fresh(now)

    @override
    def tick(self, now: Now) -> Iterable[Letter]:
        """Once a second: give up what is late, ask again for what is not answered."""
        if now.mono < self._second_at:
            return ()
        self._second_at = now.mono + 1.0
        self._tally.end_second()
        letters = [self._refuse(late, refusal.LATE, now) for late in self._posts.overdue(now)]
        letters += self._record([one for one in self._posts if one.is_due(EventPost, now)], now)
        for asked in self._posts:
            if asked.is_due(ConfirmTopic, now):
                letters += self._ask_sender(asked, now)
        if self._is_ear_open(now):
            # The ear is the API and this actor: a new start of either is a new ear.
            letters.append(Letter("writer", EarOpen(max(self._api_epoch, self._epoch))))
        return letters

    @override
    def next_tick(self, now: Now) -> float:
        """Wake each second, and soon while a certificate or a bundle of events is on its way."""
        soon = now.mono + _GLANCE_S if self._keyring.is_fetching else self._second_at
        return min(self._second_at, soon, self._record_at if self._fresh else self._second_at)

    @override
    def stop(self, now: Now) -> Iterable[Letter]:
        """Take in no more; the API asks again, and our successor answers."""
        self._stopping = True
        return ()

    @override
    def is_drained(self, now: Now) -> bool:
        """Tell whether every post taken in has its answer."""
        return not self._posts

    @override
    def gauges(self, now: Now) -> dict[str, float]:
        """Answer what the stats socket shows."""
        return {
            **self._tally.gauges(),
            "under_way": float(len(self._posts)),
            "certificate_fetches": float(self._keyring.fetches),
            "certificate_failures": float(self._keyring.failures),
            "unlisted_topics": float(len(self._unlisted)),
            "ear_open": float(self._is_ear_open(now)),
        }

    @override
    def notes(self) -> dict[str, str]:
        """Name the topic that is posting without being listed, and trouble with certificates."""
        notes = {"unlisted_topic": next(reversed(self._unlisted), "")}
        notes["certificate"] = self._keyring.trouble
        return {name: note for name, note in notes.items() if note}

    def _check(self, message: CheckPost, now: Now) -> Sequence[Letter]:
        said = self._posts.said(message.post)
        if said is not None:
            return [Letter(message.reply_to, said)]
        if self._stopping or self._posts.find(message.post) is not None:
            return []
        self._tally.counts["posts"] += 1
        sealed = self._examine(message)
        if isinstance(sealed, Refusal):
            return [self._refuse(message, sealed, now)]
        return self._verify(self._posts.begin(message, sealed, now), sealed, now)

    def _examine(self, message: CheckPost) -> Sealed | Refusal:
        if self._posts.are_full:
            return refusal.BUSY
        envelope = post.read(message.body, message.message_type)
        return envelope if isinstance(envelope, Refusal) else self._trust.examine(envelope)

    def _verify(self, taken: Post, sealed: Sealed, now: Now) -> Sequence[Letter]:
        certificate = self._keyring.find(sealed.source, now)
        if certificate is None:
            self._waiting.setdefault(sealed.source.url, []).append(taken.id)
            return []
        if isinstance(certificate, Unfit):
            return [self._refuse(taken, refusal.no_certificate(certificate.reason), now)]
        if not sealed.is_genuine(certificate):
            return [self._refuse(taken, refusal.FORGED, now)]
        self._tally.counts["verified"] += 1
        if not self._trust.lists(sealed.envelope):
            return [self._name_topic(taken, sealed.envelope.topic_arn, now)]
        return self._believe(taken, sealed.envelope, now)

    def _name_topic(self, taken: Post, arn: str, now: Now) -> Letter:
        if arn not in self._unlisted and len(self._unlisted) < _MOST_UNLISTED:
            self._unlisted[arn] = None
            log.get("results").warning(
                "a topic is posting, but SNS_TOPIC_ARN is not set: list it there to take its"
                " events",
                topic_arn=arn,
            )
        return self._refuse(taken, refusal.unlisted_topic(arn), now)

    def _believe(self, taken: Post, envelope: Envelope, now: Now) -> Sequence[Letter]:
        if envelope.type == post.NOTIFICATION:
            return self._read_events(taken, envelope, now)
        if envelope.type == post.SUBSCRIPTION:
            work = ConfirmTopic(taken.id, envelope.topic_arn, envelope.token or "")
            self._posts.pass_on(taken, work)
            return self._ask_sender(taken, now)
        self._tally.counts["unsubscribed"] += 1
        log.get("results").warning(
            "the webhook was unsubscribed from its topic: no events come until it is subscribed"
            " again",
            topic_arn=envelope.topic_arn,
        )
        return [self._posts.answer(taken.id, taken.reply_to, 200)]

    def _read_events(self, taken: Post, envelope: Envelope, now: Now) -> Sequence[Letter]:
        install = self._own_install()
        if isinstance(install, Refusal):
            return [self._refuse(taken, install, now)]
        published_at = envelope.published_at
        events = event.read(envelope.message, install, published_at)
        note = "" if events else envelope.message[:_MOST_NOTE]
        self._tally.record(len(events), published_at, now)
        for one in events:
            self._tally.lag(one.at, now)
        self._posts.pass_on(taken, EventPost(taken.id, envelope.message_id, events, note))
        self._fresh.append(taken)
        return []

    def _own_install(self) -> str | Refusal:
        """Answer this installation's id; the writer makes it at its first start."""
        if self._install is None:
            try:
                self._install = self._read_install()
            except StoreError as error:
                return refusal.not_ready(str(error))
        return self._install or refusal.not_ready("the writer has not made the database yet")

    def _record_fresh(self, now: Now) -> list[Letter]:
        """Have new events written: at once when it is quiet, else bundled, for one commit.

        What comes while the writer is at work goes when it answers, so that the crowd sets the
        pace, or when its time is up.
        """
        if not self._fresh or (self._is_recording and now.mono < self._record_at):
            return []
        self._is_recording = True
        self._record_at = now.mono + _BUNDLE_S
        fresh, self._fresh = self._fresh, []
        crash.point("results.verified")
        return self._record(fresh, now)

    def _record(self, posts: list[Post], now: Now) -> list[Letter]:
        letters = []
        for begin in range(0, len(posts), _MOST_IN_A_FRAME):
            some = posts[begin : begin + _MOST_IN_A_FRAME]
            work = tuple(one.work for one in some if isinstance(one.work, EventPost))
            letters.append(Letter("writer", RecordEvents(self._epoch, work)))
            for one in some:
                one.asked_mono = now.mono
        return letters

    def _ask_sender(self, asked: Post, now: Now) -> list[Letter]:
        asked.asked_mono = now.mono
        return [Letter(CONFIRMER, asked.work)] if isinstance(asked.work, ConfirmTopic) else []

    def _end(self, ids: Iterable[str], why: Refusal | None, now: Now) -> list[Letter]:
        letters = []
        for id_ in ids:
            ended = self._posts.find(id_)
            if ended is None or not isinstance(ended.work, EventPost):
                continue
            if why is None:
                crash.point("results.recorded")
                letters.append(self._posts.answer(ended.id, ended.reply_to, 200))
            else:
                letters.append(self._refuse(ended, why, now))
        return letters

    def _confirmed(self, message: TopicConfirmed, now: Now) -> list[Letter]:
        asked = self._posts.find(message.post)
        if asked is None or not isinstance(asked.work, ConfirmTopic):
            return []
        if message.error:
            return [self._refuse(asked, refusal.not_confirmed(message.error), now)]
        self._tally.counts["confirmed"] += 1
        log.get("results").info("subscription confirmed", topic_arn=asked.work.topic_arn)
        return [self._posts.answer(asked.id, asked.reply_to, 200)]

    def _refuse(self, refused: Post | CheckPost, why: Refusal, now: Now) -> Letter:
        id_ = refused.id if isinstance(refused, Post) else refused.post
        count = self._tally.refuse(why, now)
        if count:
            log.get("results").warning(
                "refused a post",
                status=why.status,
                reason=why.reason,
                detail=why.detail,
                count=count,
            )
        return self._posts.answer(id_, refused.reply_to, why.status, why.reason)

    def _is_ear_open(self, now: Now) -> bool:
        # Without a listed topic every event is put off: absence would mean nothing.
        heard = now.mono - self._heard_mono <= _HEARD_S
        return heard and bool(self._trust.topics) and not self._stopping
