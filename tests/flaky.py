"""A pytest plugin: prints, under FLAKY, what failed at first and passed when it was run again.

`scripts/test.py` has a failed browser test run once more (``--reruns``, by pytest-rerunfailures): a test that passes
then leaves the whole green, and is not to be forgotten.
"""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter):
    """Print a section for the tests that were run again and passed; one that failed again is among the failures."""
    again = terminalreporter.stats.get("rerun", [])
    ended_badly = {
        report.nodeid for outcome in ("failed", "error") for report in terminalreporter.stats.get(outcome, [])
    }
    flaky = [report for report in again if report.nodeid not in ended_badly]
    if not flaky:
        return
    terminalreporter.section("FLAKY", yellow=True)
    for report in flaky:
        terminalreporter.line(f"{report.nodeid} ({report.when}): {message_of(report)}")


def message_of(report):
    """Return the first line of the error's message, or the last line of what pytest would print of it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else report.longreprtext).strip().splitlines() or ["failed"]
    return lines[0 if crash else -1]
