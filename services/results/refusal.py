"""What a post that is not taken is answered: the status for SNS, and one sentence.

SNS takes a status of 400 to 499 as final and tries again after a 5xx. So what is forged or is no
post of SNS is 4xx, and what is trouble of our own is 503.
"""

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why a post is not taken; `code` is the word the counters know it by.

    `reason` is answered to whoever posts; `detail` is for the operator's log alone.
    """

    status: int
    code: str
    reason: str
    detail: str = ""


_RAW = "if the subscription has raw message delivery on, turn it off"

NO_TYPE = Refusal(400, "no_type", "the header x-amz-sns-message-type is missing")
OTHER_TYPE = Refusal(400, "other_type", "the header x-amz-sns-message-type differs from Type")
UNKNOWN_TYPE = Refusal(400, "unknown_type", "this Type of post is none that SNS sends")
NOT_JSON = Refusal(400, "not_json", f"the body is not JSON; {_RAW}")
NO_ENVELOPE = Refusal(400, "no_envelope", f"the body is no envelope of SNS; {_RAW}")
ODD_ID = Refusal(400, "odd_id", "MessageId or Timestamp is none that SNS makes")
ODD_FIELD = Refusal(400, "odd_field", "Subject, SubscribeURL or Token has a line break in it")

FOREIGN_TOPIC = Refusal(403, "foreign_topic", "this topic is not listed in SNS_TOPIC_ARN")
NO_SIGNATURE = Refusal(403, "no_signature", "the signature is missing or not of version 1 or 2")
CERTIFICATE_URL = Refusal(
    403, "certificate_url", "SigningCertURL is no address where SNS keeps this topic's certificates"
)
FORGED = Refusal(403, "forged", "the signature does not fit the post")

BUSY = Refusal(503, "busy", "too many posts are being worked on; try again")
LATE = Refusal(503, "late", "the post could not be finished in time; try again")


def no_certificate(reason: str) -> Refusal:
    """The certificate cannot be had: not the fault of who posts."""
    sentence = "the signing certificate cannot be had now; try again"
    return Refusal(503, "no_certificate", sentence, reason)


def not_ready(error: str) -> Refusal:
    """The database is not made yet, or cannot be read."""
    return Refusal(503, "not_ready", "the database is not ready; try again", error)


def unlisted_topic(arn: str) -> Refusal:
    """A genuine post, but no topic is listed at all: the setting is still missing."""
    return Refusal(503, "unlisted_topic", f"set SNS_TOPIC_ARN={arn} to take posts of this topic")


def not_recorded(code: str) -> Refusal:
    """The writer could not commit it now."""
    return Refusal(503, "not_recorded", f"the events could not be stored ({code}); try again")


def not_confirmed(error: str) -> Refusal:
    """SNS did not let us confirm the subscription."""
    sentence = "the subscription could not be confirmed now; try again"
    return Refusal(503, "not_confirmed", sentence, error)
