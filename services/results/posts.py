"""The posts under way, each remembered until it is answered, and the answers for a little while."""

from collections.abc import Iterator

from msgspec import Struct

from services.results.trust import Sealed
from shared.clock import Now
from shared.protocol import CheckPost, ConfirmTopic, EventPost, PostChecked
from shared.wire import Letter

MOST_POSTS = 5000
MOST_OCTETS = 32 * 1024 * 1024
"""Bytes of posts that wait for a certificate."""

PATIENCE_S = 10.0
"""SNS itself waits 15 s for an answer; ours must still reach it."""

_RECORD_AGAIN_S = 1.0
_CONFIRM_AGAIN_S = 2.0
_MOST_ANSWERS = 10_000


class Post(Struct, eq=False):
    """A post under way. `work` is what was asked of another actor, at `asked_mono`."""

    id: str
    reply_to: str
    give_up: float
    sealed: Sealed | None
    octets: int
    work: EventPost | ConfirmTopic | None = None
    asked_mono: float = 0.0

    def is_due(self, kind: type[EventPost | ConfirmTopic], now: Now) -> bool:
        """Tell whether what was asked for this post is to be asked again."""
        pause = _RECORD_AGAIN_S if kind is EventPost else _CONFIRM_AGAIN_S
        return isinstance(self.work, kind) and now.mono - self.asked_mono >= pause


class Posts:
    """Every post taken in and not yet forgotten."""

    def __init__(self) -> None:
        self._under_way: dict[str, Post] = {}
        self._answers: dict[str, PostChecked] = {}
        self._octets = 0

    def __len__(self) -> int:
        """Count the posts under way."""
        return len(self._under_way)

    def __iter__(self) -> Iterator[Post]:
        """Go through the posts under way, oldest first."""
        return iter(self._under_way.values())

    @property
    def are_full(self) -> bool:
        """Tell whether no more can be taken in."""
        return len(self._under_way) >= MOST_POSTS or self._octets >= MOST_OCTETS

    def find(self, post: str) -> Post | None:
        """Answer the post of this id if it is under way."""
        return self._under_way.get(post)

    def said(self, post: str) -> PostChecked | None:
        """Repeat what a post was answered with."""
        return self._answers.get(post)

    def begin(self, message: CheckPost, sealed: Sealed, now: Now) -> Post:
        """Take a post in."""
        octets = len(message.body)
        post = Post(message.post, message.reply_to, now.mono + PATIENCE_S, sealed, octets)
        self._under_way[post.id] = post
        self._octets += octets
        return post

    def pass_on(self, post: Post, work: EventPost | ConfirmTopic) -> None:
        """Put down what is asked of another actor; the post itself is no longer needed."""
        self._octets -= post.octets
        post.octets, post.sealed, post.work = 0, None, work

    def answer(self, post: str, reply_to: str, status: int, reason: str = "") -> Letter:
        """End a post with its answer, which every repeat gets too."""
        ended = self._under_way.pop(post, None)
        if ended is not None:
            self._octets -= ended.octets
        checked = self._answers[post] = PostChecked(post, status, reason)
        if len(self._answers) > _MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        return Letter(reply_to, checked)

    def overdue(self, now: Now) -> list[Post]:
        """List the posts whose time is up: they stand in the order in which they came."""
        late = []
        for post in self:
            if post.give_up > now.mono:
                break
            late.append(post)
        return late
