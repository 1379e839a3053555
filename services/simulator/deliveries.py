"""From a parcel to notices, and from each attempt to what is next."""

import msgspec

from services.simulator.dice import Dice, uuid_of
from services.simulator.envelope import Notice
from services.simulator.events import SUBJECT, Event, events_of
from services.simulator.parcels import (
    Confirm,
    EventSwitches,
    Mail,
    Publish,
    Routes,
    SubscriptionRoute,
    Tally,
    TopicRoute,
)
from services.simulator.retry import delay_s

_TAKEN = range(200, 300)
_FINAL = range(300, 500)  # SNS never posts again after these
_CONFIRM_TEXT = (
    "You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, visit the"
    " SubscribeURL included in this message."
)


class Deliveries:
    """Knows where notices go and how they fare; posts nothing itself."""

    def __init__(self, region: str, dice: Dice, retry_seconds: float | None) -> None:
        self._region = region
        self._dice = dice
        self._retry_seconds = retry_seconds
        self.routes = Routes({}, {})
        self.switches = EventSwitches()
        self.tallies: dict[str, Tally] = {}
        self.unrouted = 0

    def clear(self) -> None:
        """Count from zero."""
        self.tallies = {}
        self.unrouted = 0

    def of_mail(self, mail: Mail, now_s: float) -> list[Notice]:
        """Make the notices of a mail's events."""
        routes = self.routes.sets.get(mail.configuration_set, [])
        notices: list[Notice] = []
        for event in events_of(mail, self._region):
            made: list[Notice] = []
            for route in routes:
                topic = self.routes.topics.get(route.topic_arn)
                if topic is not None and event.api_type in route.types:
                    made += self._of_event(event, route.topic_arn, topic, now_s)
            self.unrouted += not made
            for notice in made:
                notice.ticket = mail.ticket
                notices += self._as_switched(notice)
        return notices

    def of_publish(self, parcel: Publish, now_s: float) -> list[Notice]:
        """Make the notices of a text that was published."""
        topic = self.routes.topics.get(parcel.topic_arn)
        made: list[Notice] = []
        for one in topic.subscriptions if topic is not None else []:
            notice = self._notice("Publish", parcel.topic_arn, topic, one)
            notice.at_s = now_s
            notice.message_id = parcel.message_id
            notice.text = parcel.text
            notice.subject = parcel.subject
            notice.attributes = parcel.attributes
            made.append(notice)
        self.unrouted += not made
        return made

    def of_confirm(self, parcel: Confirm, now_s: float) -> list[Notice]:
        """Make the notice that asks an endpoint to confirm."""
        self._tally("SubscriptionConfirmation").made += 1
        return [
            Notice(
                kind="SubscriptionConfirmation",
                type="SubscriptionConfirmation",
                endpoint=parcel.endpoint,
                topic_arn=parcel.topic_arn,
                message_id=parcel.message_id,
                text=_CONFIRM_TEXT.format(topic=parcel.topic_arn),
                signature_version=parcel.signature_version,
                retry=parcel.retry,
                at_s=now_s,
                token=parcel.token,
            )
        ]

    def pause_of(self, notice: Notice) -> float:
        """Say how long a fresh notice of an event waits."""
        switches = self.switches
        shuffled = self._dice.random() * switches.shuffle_s if switches.shuffle else 0.0
        return switches.delay_s + shuffled if notice.kind != "Publish" else 0.0

    def after_attempt(self, notice: Notice, status: int | None) -> float | None:
        """Count an attempt; give the pause before the next one, or None at the end."""
        tally = self._tally(notice.kind)
        tally.posted += 1
        notice.tried += 1
        if status is not None and status in _TAKEN:
            tally.acked += 1
            return None
        if status is not None and status in _FINAL:
            tally.refused += 1
            return None
        pause = delay_s(notice.retry, notice.tried)
        if pause is None:
            tally.failed += 1
            return None
        return pause if self._retry_seconds is None else self._retry_seconds

    def _tally(self, kind: str) -> Tally:
        return self.tallies.setdefault(kind, Tally())

    def _of_event(
        self, event: Event, topic_arn: str, topic: TopicRoute, now_s: float
    ) -> list[Notice]:
        made = []
        for one in topic.subscriptions:
            notice = self._notice(event.event_type, topic_arn, topic, one)
            notice.at_s = now_s
            notice.text = event.text
            notice.subject = SUBJECT
            made.append(notice)
        return made

    def _notice(
        self, kind: str, topic_arn: str, topic: TopicRoute | None, one: SubscriptionRoute
    ) -> Notice:
        self._tally(kind).made += 1
        return Notice(
            kind=kind,
            type="Notification",
            endpoint=one.endpoint,
            topic_arn=topic_arn,
            message_id=uuid_of(self._dice),
            text="",
            signature_version="1" if topic is None else topic.signature_version,
            retry=one.retry,
            at_s=0.0,
            subscription_arn=one.arn,
            raw=one.raw,
        )

    def _as_switched(self, notice: Notice) -> list[Notice]:
        switches = self.switches
        tally = self._tally(notice.kind)
        if switches.drop_share and self._dice.random() < switches.drop_share:
            tally.dropped += 1
            return []
        notice.forge = switches.forge
        copies = [msgspec.structs.replace(notice) for _ in range(switches.duplicate)]
        tally.copies += len(copies)
        for copy in copies:
            if switches.duplicate_new_id:
                copy.message_id = uuid_of(self._dice)
        return [notice, *copies]
