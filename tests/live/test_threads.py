from __future__ import annotations

import os
import threading

import torch

from peek_widget.live.threads import set_threads, usual_threads


def test_a_core_is_left_to_others() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= usual_threads() <= max(1, cores - 1)


def test_the_workers_number_is_not_the_notebooks() -> None:
    before = torch.get_num_threads()
    inside: list[int] = []

    def work() -> None:
        set_threads(1)
        inside.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [1]
    assert torch.get_num_threads() == before
