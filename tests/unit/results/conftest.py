"""One signing key for all tests, and actors with its certificate at hand."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unit.results.rig import Desk, Sns


@pytest.fixture(scope="session")
def sns():
    return Sns(rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def other_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def make_desk(sns):
    return lambda **settings: Desk(sns, **settings)


@pytest.fixture
def desk(make_desk):
    return make_desk().learn()
