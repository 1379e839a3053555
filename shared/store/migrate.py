"""Bringing a database up to date: numbered, forward only, each step one transaction."""

import apsw

from shared.errors import StoreError, StoreTooNewError
from shared.store import sql


def migrate(connection: apsw.Connection) -> list[int]:
    """Apply what is missing and answer the numbers applied.

    `user_version` holds the number of the newest step that is in; a crash in mid-step leaves the
    step undone.
    """
    steps = sql.migrations()
    at = int(connection.pragma("user_version"))
    newest = steps[-1].number
    if at > newest:
        raise StoreTooNewError(
            f"the database {connection.filename} is at step {at}, this release knows {newest}:"
            " install the newer release"
        )
    applied = []
    for step in steps:
        if step.number > at:
            _apply(connection, step)
            applied.append(step.number)
    return applied


def _apply(connection: apsw.Connection, step: sql.Migration) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(step.text)
        connection.pragma("user_version", step.number)
        connection.execute("COMMIT")
    except apsw.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        path = connection.filename
        raise StoreError(f"step {step.number} of the database {path} failed: {error}") from error
