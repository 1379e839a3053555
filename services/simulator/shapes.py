"""The requests of SES v2 that carry mail, as typed structs."""

import msgspec


class Tag(msgspec.Struct, rename="pascal", gc=False):
    """A message tag; it comes back in every event."""

    name: str
    value: str


class Header(msgspec.Struct, rename="pascal", gc=False):
    """A header the caller adds."""

    name: str
    value: str


class Destination(msgspec.Struct, rename="pascal"):
    """The recipients of one mail."""

    to_addresses: list[str] = []
    cc_addresses: list[str] = []
    bcc_addresses: list[str] = []

    def everyone(self) -> list[str]:
        """List To, Cc and Bcc together, as SES counts them."""
        if not self.cc_addresses and not self.bcc_addresses:
            return self.to_addresses
        return [*self.to_addresses, *self.cc_addresses, *self.bcc_addresses]


class Part(msgspec.Struct, rename="pascal", gc=False):
    """A subject."""

    data: str
    charset: str | None = None


class Bulky(msgspec.Struct, rename="pascal"):
    """A text or an HTML part, left encoded: most runs never look inside."""

    data: msgspec.Raw
    charset: str | None = None

    def text(self) -> str:
        """Decode the part, or raise what msgspec raises for anything but a string."""
        return msgspec.json.decode(self.data, type=str)

    def is_text(self) -> bool:
        """Tell a string from any other JSON value without decoding it."""
        return bytes(memoryview(self.data)[:1]) == b'"'


class Body(msgspec.Struct, rename="pascal"):
    """The parts of a simple mail."""

    text: Bulky | None = None
    html: Bulky | None = None


class Attachment(msgspec.Struct, rename="pascal"):
    """An attached file; msgspec undoes the base64."""

    raw_content: bytes
    file_name: str
    content_type: str | None = None
    content_id: str | None = None
    content_description: str | None = None
    content_disposition: str | None = None
    content_transfer_encoding: str | None = None


class Simple(msgspec.Struct, rename="pascal"):
    """Content that SES takes literally."""

    subject: Part
    body: Body
    headers: list[Header] = []
    attachments: list[Attachment] = []


class Raw(msgspec.Struct, rename="pascal"):
    """A whole MIME mail."""

    data: bytes


class TemplateContent(msgspec.Struct, rename="pascal", frozen=True):
    """An inline template."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None


class Template(msgspec.Struct, rename="pascal"):
    """Content that SES renders."""

    template_name: str | None = None
    template_arn: str | None = None
    template_content: TemplateContent | None = None
    template_data: str | None = None
    headers: list[Header] = []
    attachments: list[Attachment] = []


class Content(msgspec.Struct, rename="pascal"):
    """Exactly one of the three ways of saying what a mail contains."""

    simple: Simple | None = None
    raw: Raw | None = None
    template: Template | None = None


class SendEmail(msgspec.Struct, rename="pascal"):
    """POST /v2/email/outbound-emails."""

    content: Content
    from_email_address: str | None = None
    destination: Destination = msgspec.field(default_factory=Destination)
    reply_to_addresses: list[str] = []
    email_tags: list[Tag] = []
    configuration_set_name: str | None = None


class ReplacementTemplate(msgspec.Struct, rename="pascal"):
    """One recipient's own template data."""

    replacement_template_data: str | None = None


class ReplacementContent(msgspec.Struct, rename="pascal"):
    """One recipient's own content: nothing but template data."""

    replacement_template: ReplacementTemplate | None = None


class Entry(msgspec.Struct, rename="pascal"):
    """One mail of a bulk call."""

    destination: Destination
    replacement_tags: list[Tag] = []
    replacement_headers: list[Header] = []
    replacement_email_content: ReplacementContent | None = None


class BulkContent(msgspec.Struct, rename="pascal"):
    """What the mails of a bulk call share."""

    template: Template | None = None


class SendBulkEmail(msgspec.Struct, rename="pascal"):
    """POST /v2/email/outbound-bulk-emails."""

    default_content: BulkContent
    bulk_email_entries: list[Entry]
    from_email_address: str | None = None
    reply_to_addresses: list[str] = []
    default_email_tags: list[Tag] = []
    configuration_set_name: str | None = None
