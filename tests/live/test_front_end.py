"""What leaves the kernel."""

import contextvars
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget.ascent import to_pil
from peek_widget.live import front_end
from peek_widget.live.front_end import Sender, channels_shown, encode, poster


def noise(channels, side):
    return torch.from_numpy(np.random.default_rng(0).random((channels, side, side), dtype=np.float32))


def smooth(side):
    ramp = torch.linspace(0, 1, side)
    return torch.stack([ramp.expand(side, side), ramp.expand(side, side).T, torch.full((side, side), 0.5)])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (13, "RGB")])
def test_any_number_of_channels_gives_a_picture(channels, mode):
    image = noise(channels, 8)
    picture = to_pil(image)
    assert picture.mode == mode
    assert picture.size == (8, 8)
    expected = image.mean(0) if channels == 2 else image[0] if channels == 1 else image[:3].permute(1, 2, 0)
    assert np.allclose(np.asarray(picture) / 255, expected, atol=0.006)


def test_it_is_said_how_other_channels_are_shown():
    assert channels_shown(1) == channels_shown(3) == ""
    assert "mean" in channels_shown(2)
    assert "first three of 5" in channels_shown(5)


def test_height_and_width_are_not_swapped():
    assert to_pil(torch.zeros(3, 4, 9)).size == (9, 4)


def test_values_outside_are_clipped_and_nan_is_black():
    picture = to_pil(torch.tensor([[[-1.0, 2.0, float("nan"), 0.5]]]))
    assert np.asarray(picture).tolist() == [[0, 255, 0, 128]]


def test_live_frames_are_jpeg_and_still_ones_exact_png():
    picture = to_pil(smooth(96))
    assert encode(picture, lossless=False)[:3] == b"\xff\xd8\xff"
    png = encode(picture, lossless=True)
    assert png[:4] == b"\x89PNG"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(picture))


def test_a_still_picture_too_large_for_png_is_a_better_jpeg():
    picture = to_pil(noise(3, 160))
    still = encode(picture, lossless=True)
    assert still[:3] == b"\xff\xd8\xff"
    assert len(still) > len(encode(picture, lossless=False))
    assert len(still) <= front_end.STILL_LIMIT


def test_a_large_still_picture_goes_down_in_quality_rather_than_fill_the_notebook():
    picture = to_pil(noise(3, 256))
    still = encode(picture, lossless=True)
    assert still[:3] == b"\xff\xd8\xff"
    assert len(still) <= front_end.STILL_LIMIT


def test_a_poster_fits():
    assert len(poster(to_pil(noise(3, 448)))) <= front_end.POSTER_LIMIT
    small = to_pil(smooth(32))
    assert Image.open(io.BytesIO(poster(small))).size == (32, 32)


class Comm:
    def __init__(self):
        self.sent = []

    def send(self, data, buffers):
        self.sent.append((data, buffers, WHO.get(None)))


WHO = contextvars.ContextVar("who")


def test_one_update_with_binary_buffers():
    comm = Comm()
    assert Sender().send(comm, {"frame": b"abc", "step": 3, "history": b"", "status": {"n": 1}})
    ((data, buffers, _),) = comm.sent
    assert data == {
        "method": "update",
        "state": {"step": 3, "status": {"n": 1}},
        "buffer_paths": [["frame"], ["history"]],
    }
    assert buffers == [b"abc", b""]


def test_it_goes_out_as_the_answer_to_the_last_message_from_any_thread():
    comm, sends = Comm(), Sender()

    def handler(name):
        WHO.set(name)
        sends.remember()

    contextvars.copy_context().run(handler, "first")
    contextvars.copy_context().run(handler, "second")
    thread = threading.Thread(target=sends.send, args=(comm, {"step": 1}))
    thread.start()
    thread.join()
    assert comm.sent[0][2] == "second"


def test_a_comm_that_is_gone_is_left_in_peace():
    comm = Comm()
    assert not Sender().send(None, {"step": 1})
    comm._closed = True
    assert not Sender().send(comm, {"step": 1})
    comm._closed, comm.kernel = False, None
    assert not Sender().send(comm, {"step": 1})
    assert comm.sent == []


def test_a_front_end_keeps_its_own_route_where_the_kernel_would_change_it():
    class Routing(Comm):
        def _reply_subshell_for(self, data, default):
            return "main"

    comm = Routing()
    Sender().keep_route(comm)
    assert comm._reply_subshell_for({}, "the sub-shell addressed") == "the sub-shell addressed"
    plain = Comm()
    Sender().keep_route(plain)
    assert not hasattr(plain, "_reply_subshell_for")
