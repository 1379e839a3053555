"""What survives a restart as it does at AWS: topics, subscriptions, configuration sets."""

from pathlib import Path
from typing import Final

import msgspec

from services.simulator.errors import UNREADABLE
from services.simulator.sets import ConfigurationSet, ConfigurationSets
from services.simulator.sns import Sns, Topic

_NAME: Final = "state.json"


class State(msgspec.Struct, frozen=True):
    """The file's shape."""

    topics: dict[str, Topic] = {}
    sets: dict[str, ConfigurationSet] = {}


class StateFile:
    """Keeps the state in one file, written whole and only when it has changed."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self._written = b""

    def load(self, sns: Sns, sets: ConfigurationSets) -> None:
        """Take the state of an earlier run; an unreadable file is put aside."""
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return
        except UNREADABLE:
            self._path.replace(self._path.with_suffix(".unreadable"))
            return
        sns.topics.update(state.topics)
        sets.by_name.update(state.sets)

    def save(self, sns: Sns, sets: ConfigurationSets) -> None:
        """Write the state if it is not the one on disk."""
        text = msgspec.json.encode(State(sns.topics, sets.by_name))
        if text == self._written:
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(text)
        fresh.replace(self._path)
        self._written = text
