"""The rows that every database has."""

from shared.store.read import Install
from shared.store.write import Store


def found(store: Store, install: Install, now_ms: int) -> None:
    """Make what is missing: who this installation is, its account, and mail without a topic."""
    store.begin()
    if store.row("install") is None:
        store.run("add_install", (install.install, install.pixel_secret, now_ms))
    store.run("add_account")
    store.run("add_no_topic", (now_ms,))
    store.commit()
