"""How soon the tab "Circuit" has its first pictures, its contributions and its effects.

    python benchmarks/circuit_panel.py [--networks squeezenet lite0] [--rounds 3] [--still]

An explorer with some eighty photos, without a page: what would go to one is noted with the time at which it leaves. The
pass over the photos is over and the main picture goes on drawing (``--still``: it does not) when the panel is opened on
a unit of a layer that was never looked at. Printed are the seconds from then to the first contributions, those with
medians of real images, the first picture of another unit, pictures of all, and all effects; each once by the clock and
once as seconds of processor time of the circuit's own thread, which other work on the machine disturbs less. Real
networks and images: PEEK_SHARED or ../shared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import comm
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import Recipe, UnitExplorer, zoo
from peek_widget.circuits.trace import PROVISIONAL
from tests.networks import shared, squeezenet

CASES = {
    "squeezenet": (squeezenet, "features.9.expand3x3", (12, 40, 71)),
    "lite0": (zoo.efficientnet_lite0, "blocks.10.project", (51, 7, 30)),
}
MOMENTS = ("contributions", "medians", "first picture", "all pictures", "effects")


class Timed(comm.base_comm.BaseComm):
    """Keeps when messages about the circuit are sent, by the clock and by the sending thread's processor time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[tuple[float, float, dict[str, Any]]] = []
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        content = data.get("content", {}) if msg_type == "comm_msg" and data["method"] == "custom" else {}
        if str(content.get("kind", "")).startswith("circuit"):
            self.sent.append((time.perf_counter(), time.thread_time(), content))

    def receive(self, kind: str, **fields: Any) -> None:
        self.handle_msg({"content": {"data": {"method": "custom", "content": {"kind": kind, **fields}}}, "buffers": []})


def moment(content: dict[str, Any], pictured: set[Any], unit: tuple[str, int]) -> set[str]:
    """Return what is there with this message for the first time, if it is the first such one."""
    if content["kind"] == "circuit_picture":
        key = content["layer"], content["unit"]
        pictured |= {key} if key != unit else set()
        return {"first picture"} if pictured else set()
    if content["kind"] != "circuit" or not content["inputs"]:
        return set()
    found = {"contributions"}
    if not content["text"].endswith(PROVISIONAL):
        found.add("medians")
    if all(row["effect"] is not None for row in content["inputs"]):
        found.add("effects")
    if {(row["layer"], row["unit"]) for row in content["inputs"]} <= pictured:
        found.add("all pictures")
    return found


def times(explorer: UnitExplorer, layer: str, unit: int) -> dict[str, tuple[float, float]]:
    """Show a unit, and return seconds by the clock and of processor time to each moment."""
    messages: Timed = explorer.comm
    explorer.unit = unit
    messages.receive("circuit_open", on=False)
    time.sleep(0.5)
    messages.sent.clear()
    before = explorer._parts.circuit
    began, found, pictured, at = time.perf_counter(), {}, set(), 0
    processor: float | None = 0.0 if not before.alive else None
    messages.receive("circuit_open", on=True)
    while len(found) < len(MOMENTS) and time.perf_counter() - began < 120:
        time.sleep(0.02)
        messages.receive("present")
        while at < len(messages.sent):
            clock, used, content = messages.sent[at]
            at += 1
            processor = used if processor is None else processor
            for name in moment(content, pictured, (layer, unit)):
                found.setdefault(name, (clock - began, used - processor))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--still", action="store_true", help="the main picture does not draw")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    comm.create_comm = Timed
    photos = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))[::3]
    for name in options.networks:
        make, layer, units = CASES[name]
        model = make()
        rounds: dict[str, list[tuple[float, float]]] = {}
        again: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.rounds):
            endless = Recipe.preset("peek").replace(steps=100_000)
            explorer = UnitExplorer(
                model,
                layer=layer,
                unit=units[0],
                dataset=photos,
                playing=False,
                threads=options.threads,
                recipe=endless,
            )
            explorer.comm.receive("hello")
            explorer.comm.receive("visible", on=True)
            while explorer.evidence_status.get("state") != "done":
                explorer.comm.receive("present")
                time.sleep(0.1)
            explorer.playing = not options.still
            for count, unit in enumerate(units):
                found = times(explorer, layer, unit)
                for key, value in found.items():
                    (again if count else rounds).setdefault(key, []).append(value)
            explorer.close()
        for title, taken in (("first unit of a layer", rounds), ("further units of it", again)):
            print(f"{name}, {title}: seconds by the clock (of processor time), medians of {len(taken['effects'])}")
            for key in MOMENTS:
                if key in taken:
                    clock, used = (statistics.median(one[at] for one in taken[key]) for at in (0, 1))
                    print(f"  {key:14s} {clock:6.2f} ({used:.2f})", flush=True)


if __name__ == "__main__":
    main()
