"""What all tests of the live part share."""

import pytest

from .conformity import PROBLEMS


@pytest.fixture(autouse=True)
def conforming_messages():
    """Fail a test in which the kernel sent what the protocol does not declare."""
    PROBLEMS.clear()
    yield
    assert sorted(set(PROBLEMS)) == []
