"""Train the bundled network: ``python -m tools.zoo.train``.

The images come from `peek_widget.zoo.images`. They are generated once and augmented by flips, channel permutations,
inversion and cutout. After the first quarter of the steps the training is adversarial (one-step FGM in L2, of growing
length): a network that is robust to small perturbations has gradients that resemble its inputs, and those are what a
picture drawn by gradient ascent is made of (Engstrom et al., arXiv 1906.00945).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from peek_widget.errors import PeekError
from peek_widget.zoo.images import CLASS_NAMES, Images
from peek_widget.zoo.network import MEAN, STD, TRAINED_SIZE, SmallNet

__all__ = ["accuracy", "held_out", "main", "train", "write"]

#: Seed of the held-out images: far from the seeds that somebody would train with.
HELD_OUT_SEED = 7_000_003


def _drawn(count: int, seed: int, say=None, size: int = TRAINED_SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Generate ``count`` images, uint8 ``[N, 3, size, size]``, and their labels ``[N]``."""
    images = Images(count, size=size, seed=seed)
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.long)
    for i in range(count):
        image, labels[i] = images[i]
        pixels[i] = (image * 255 + 0.5).byte()
        if say and i % 500 == 0:
            say(f"drawing images: {i} of {count}")
    return pixels, labels


def held_out(count: int, size: int = TRAINED_SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Generate images of no training set, float32 ``[N, 3, size, size]`` in [0, 1], and their labels ``[N]``."""
    pixels, labels = _drawn(count, HELD_OUT_SEED, size=size)
    return pixels.float() / 255, labels


def _augmented(pixels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Augment a batch of uint8 images; returns float32 in [0, 1]."""

    def chance(p: float) -> torch.Tensor:
        return torch.rand(len(pixels), 1, 1, 1, generator=rng) < p

    x = pixels.float() / 255
    x = torch.where(chance(0.5), x.flip(3), x)
    x = torch.where(chance(0.5), 1 - x, x)
    # Which channel is which must not matter; one order for the batch is enough over many batches.
    x = x[:, torch.randperm(3, generator=rng)]
    side = x.shape[-1]
    at = torch.randint(0, side, (len(x), 2, 1, 1), generator=rng)
    half = torch.randint(3, 9, (len(x), 1, 1), generator=rng)
    where = torch.arange(side)
    patch = ((where[:, None] - at[:, 0]).abs() < half) & ((where[None, :] - at[:, 1]).abs() < half)
    patch = patch[:, None] & chance(0.3)
    return torch.where(patch, torch.rand(len(x), 3, 1, 1, generator=rng), x)


def _normalized(x: torch.Tensor) -> torch.Tensor:
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return the top-1 accuracy and the predicted labels ``[N]``; ``images`` are ``[N, 3, H, W]`` in [0, 1]."""
    network.eval()
    with torch.inference_mode():
        predicted = torch.cat([network(_normalized(x)).argmax(1) for x in images.split(256)])
    return (predicted == labels).double().mean().item(), predicted


def _faster_in_bf16() -> bool:
    capable = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def train(
    *,
    seed: int = 0,
    width: int = 24,
    images: int = 32_000,
    epochs: int = 10,
    batch: int = 64,
    rate: float = 0.1,
    reach: float = 2.0,
    bf16: bool | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[tuple[SmallNet, dict[str, Any]]]:
    """Train, and yield after each epoch the network (with its batch normalization) and figures on the training.

    The same arguments on the same machine with the same number of threads give the same weights.

    Args:
        seed: of the weights, the images and their augmentation.
        width: number of channels of conv1; those of the other layers grow with it.
        images: number of training images.
        epochs: number of passes over them.
        batch: images a step.
        rate: largest learning rate (one-cycle schedule).
        reach: largest length (L2, pixels in [0, 1]) of the adversarial perturbation of an image; it is 0 in the first
            quarter of the training and full from three fifths on.
        bf16: whether to autocast to bfloat16; None: where the processor is faster in it.
        say: called with a line of progress every ten steps.

    Raises:
        PeekError: for a number that is too small.
    """
    for name, value, least in (
        ("epochs", epochs, 1),
        ("width", width, 1),
        ("batch", batch, 2),
        ("images", images, batch),
    ):
        if value < least:
            raise PeekError(f"{name} is {value}; it must be {least} or more (a batch is {batch} images).")
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    if bf16 is None:
        bf16 = _faster_in_bf16()
    pixels, labels = _drawn(images, seed, say)
    network = SmallNet(width, CLASS_NAMES, normalized=True).to(memory_format=torch.channels_last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0.0}],
        lr=rate,
        momentum=0.9,
        nesterov=True,
    )
    steps = (images // batch) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            answer = network(_normalized(x)).float()
        return functional.cross_entropy(answer, y), answer

    began, done = time.monotonic(), 0
    mean_loss = right = None
    for epoch in range(epochs):
        network.train()
        for rows in torch.randperm(images, generator=rng)[: (images // batch) * batch].split(batch):
            x, y = _augmented(pixels[rows], rng), labels[rows]
            grown = reach * min(1.0, max(0.0, (done / steps - 0.25) / 0.35))
            if grown > 0:
                # From a random start and of random length: a fixed length can be overfitted, and the network is then
                # robust to perturbations of that length only (catastrophic overfitting).
                start = torch.randn(x.shape, generator=rng) * (0.5 * grown / x[0].numel() ** 0.5)
                x = (x + start).clamp(0, 1).requires_grad_()
                (push,) = torch.autograd.grad(loss_of(x, y)[0], x)
                length = grown * torch.rand(len(x), 1, 1, 1, generator=rng)
                norm = push.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
                x = (x.detach() + length * push / norm).clamp(0, 1)
            optimizer.zero_grad(set_to_none=True)
            loss, answer = loss_of(x, y)
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            hit = (answer.argmax(1) == y).float().mean().item()
            mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
            right = hit if right is None else 0.98 * right + 0.02 * hit
            if done % 10 == 0:
                left = (time.monotonic() - began) / done * (steps - done)
                say(
                    f"epoch {epoch + 1} of {epochs}, step {done} of {steps}: loss {mean_loss:.3f}, "
                    f"right {right:.1%}, perturbed by up to {grown:.1f}, {left / 60:.1f} min left"
                )
        yield network, {"epoch": epoch + 1, "seconds": time.monotonic() - began, "bf16": bf16}


def write(path: Path, network: SmallNet, facts: dict[str, Any]) -> None:
    """Save a network as safetensors (float32), with ``facts`` and the class names in its metadata."""
    notes = {name: str(value) for name, value in facts.items()} | {"classes": json.dumps(network.class_names)}
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    # Not save_file: the file it makes can be read by its owner alone, wherever the package is installed.
    path.write_bytes(save(tensors, metadata=notes))


def _progress() -> Callable[[str], None]:
    """Return a function that prints progress: in place on a terminal, a line every 15 s in a log."""
    live, last = sys.stderr.isatty(), [0.0]

    def say(text: str) -> None:
        now = time.monotonic()
        if now - last[0] >= (0.2 if live else 15):
            last[0] = now
            print(f"\r{text}\x1b[K" if live else text, end="" if live else "\n", file=sys.stderr, flush=True)

    return say


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0; give 0 or more")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give 1 or more")
    return number


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo.train", description="Train a network on the drawn images."
    )
    parser.add_argument("--out", type=Path, default=Path("trained.safetensors"), help="file to write")
    parser.add_argument("--seed", type=_whole, default=0, help="of the weights and of the images")
    parser.add_argument("--width", type=_positive, default=24, help="channels of conv1; the others grow with it")
    parser.add_argument("--images", type=_positive, default=32_000, help="training images")
    parser.add_argument("--epochs", type=_positive, default=10)
    parser.add_argument("--rate", type=float, default=0.1, help="largest learning rate")
    parser.add_argument("--reach", type=float, default=2.0, help="largest adversarial perturbation, 0 for none")
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="of the products in training; auto: bf16 where the processor has it",
    )
    parser.add_argument("--held-out", type=_positive, default=14_000, help="images to measure on at the end")
    parser.add_argument("--threads", type=_positive, default=None, help="processor threads")
    given = parser.parse_args(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    say = _progress()
    began = time.monotonic()
    images, labels = held_out(min(2800, given.held_out))
    for network, figures in train(
        seed=given.seed,
        width=given.width,
        images=given.images,
        epochs=given.epochs,
        rate=given.rate,
        reach=given.reach,
        bf16={"auto": None, "bf16": True, "fp32": False}[given.precision],
        say=say,
    ):
        share, _ = accuracy(network, images, labels)
        print(
            f"\nafter epoch {figures['epoch']}: {share:.2%} of {len(labels)} held-out images right, "
            f"{figures['seconds'] / 60:.1f} min",
            flush=True,
        )
        # Written after every epoch, so that an interrupted training leaves a network.
        unfinished = {"width": given.width, "held_out": f"{share:.4f} of {len(labels)}"}
        write(given.out, network.folded(), unfinished)
    plain = network.folded()
    images, labels = held_out(given.held_out)
    share, _ = accuracy(plain, images, labels)
    facts = {
        "width": given.width,
        "seed": given.seed,
        "images": given.images,
        "epochs": given.epochs,
        "rate": given.rate,
        "reach": given.reach,
        "bf16": figures["bf16"],
        "threads": torch.get_num_threads(),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "torch": torch.__version__,
        "held_out": f"{share:.4f} of {len(labels)}",
    }
    write(given.out, plain, facts)
    print(f"{share:.2%} of {len(labels)} held-out images right; written to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
