"""For all tests: one thread, no test that fails because the machine is busy, and FLAKY at the end."""

from __future__ import annotations

import os

import torch
from hypothesis import HealthCheck, settings

from .flaky import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

# Small networks gain nothing from more, and beside a busy process two threads are ten times slower than one.
torch.set_num_threads(1)

settings.register_profile("peek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time where nobody is there to look at a new one.
settings.register_profile("ci", settings.get_profile("peek"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "peek")
