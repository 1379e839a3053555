"""The fixture that builds worlds."""

import pytest

from tests.world.world import World


@pytest.fixture
def make_world(tmp_path):
    worlds: list[World] = []

    def make(seed: str, **more) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(World(folder, seed, **more))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
