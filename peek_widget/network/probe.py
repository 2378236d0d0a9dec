"""The probe of a model: a few forwards on noise, which try what the rest of the package relies on.

- An image alone gives the same as in a batch. Where it does not (batch normalization without running statistics),
  images are given to the model one at a time from then on.
- The same image gives the same twice.
- What the model returns does not look like probabilities, unless a softmax or sigmoid was recognized.
- The gradient of one position lies in the receptive field that follows from the layers. Where it does not, fields are
  measured from that layer on.
- A function that preprocesses images changes each pixel by itself, and draws no random numbers.

Results are compared module by module, so that it can be said where a difference begins.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget._size import Size
from peek_widget.errors import (
    BatchWarning,
    FieldWarning,
    LayerError,
    OutputWarning,
    PeekError,
    PreprocessWarning,
    RandomWarning,
)
from peek_widget.network.findings import Finding, Findings
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.network import Layer, Network
from peek_widget.network.outputs import OUTPUT, as_tensor
from peek_widget.network.pixelwise import try_pixels
from peek_widget.network.receptive_field.effective import noise
from peek_widget.network.receptive_field.field_map import field_map, share_inside

__all__ = ["enabled", "probe", "probe_anew"]

_SIZE = Size(128, 128)  # of the images that are given alone and in a batch, where the model takes that size
_SAMPLE = 4096  # values of each module's output that are compared for an image
_OUTSIDE = 1e-3  # share of the gradient that may lie outside of an exact receptive field, by rounding
_FEWEST_CLASSES, _MANY_CLASSES = 2, 5  # whose sum is looked at; of which none may be outside of [0, 1] by chance
_SUM = 1e-3
_WIDE = 0.5  # share of the image above which a layer's field says little about where it is

_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[nn.Module, tuple[Any, Findings]] = weakref.WeakKeyDictionary()


def enabled() -> bool:
    """Return whether models are probed: not with ``PEEK_PROBE=0`` in the environment."""
    return os.environ.get("PEEK_PROBE", "1") not in ("0", "false", "no")


def probe(network: Network) -> Findings:
    """Probe a model; once for as long as its structure, its hooks and its plain attributes stay as they are.

    What can't be tried, because a forward raises an exception, is not among the findings.
    """
    model, key = network.model_copy.original, _key(network)
    with _lock:
        known = _known.get(model)
    if known is not None and known[0] == key:
        return known[1]
    version = network.model_copy.version()
    findings = probe_anew(network)
    if network.model_copy.version() != version:
        # A training step in another thread: nothing can be compared, and nothing is remembered.
        return Findings()
    with _lock:
        _known[model] = key, findings
    return findings


def _key(network: Network) -> Any:
    """Return what the findings depend on, besides the values of the weights."""
    model_copy = network.model_copy
    plain = tuple(
        (name, type(module), tuple((k, v) for k, v in vars(module).items() if isinstance(v, (int, float, str))))
        for name, module in model_copy.original.named_modules()
    )
    return plain, model_copy.signature, network.size, network.preprocess, str(model_copy.device)


def probe_anew(network: Network) -> Findings:
    """Probe a model even if it was probed before."""
    found = [*_preprocessing(network)]
    several, one_at_a_time = _repeats(network)
    found += several
    fields, measured_from = _fields(network)
    return Findings((*found, *fields), True, one_at_a_time, measured_from)


# One image alone, in a batch, twice


def _repeats(network: Network) -> tuple[list[Finding], bool]:
    """Run one image alone, twice, and in a batch; also return whether the model must get one image at a time."""
    model_copy, prepare = network.model_copy, network.preprocess
    with torch.no_grad():
        for size in dict.fromkeys((network.size.within(_SIZE), network.size)):
            batch = _images(network, size)
            single = batch[1:2].repeat(model_copy.least_images, 1, 1, 1)
            try:
                alone = _outputs(model_copy, prepare(single))
                again = _outputs(model_copy, prepare(single))
                break
            except Exception:
                continue  # a model of a fixed size
        else:
            return [], False
        where = _difference(network, alone, again)
        if where is not None:
            return [Finding(*_NOT_REPEATED, RandomWarning).at(where)], False
        if model_copy.draws.random:
            where = _difference(network, alone, _outputs(model_copy, prepare(single), seed=1))
            if where is not None:
                return [Finding(*_RANDOM, RandomWarning).at(where)], True
        try:
            together = _outputs(model_copy, prepare(batch))
        except Exception as error:
            return [Finding(f"one image at a time, since a batch raises {type(error).__name__}")], True
        # The last image is much fainter, since a forward that drops part of a batch (a mixture of experts) may drop it.
        last = batch[2:].repeat(model_copy.least_images, 1, 1, 1)
        for number, found in ((1, alone), (2, _outputs(model_copy, prepare(last)))):
            own = {name: values[number : number + 1] for name, values in together.items() if len(values) == 3}
            found = {name: values[:1] for name, values in found.items() if len(values) == len(single)}
            where = _difference(network, found, own)
            if where is not None:
                return [Finding(*_BATCH, BatchWarning).at(where)], True
    probabilities = _probabilities(network, together)
    return ([] if probabilities is None else [Finding(*probabilities, OutputWarning)]), False


def _probabilities(network: Network, found: dict[str, Tensor]) -> tuple[str, str] | None:
    """Return a finding if the result looks like probabilities though no softmax was seen; else None.

    Args:
        network: the network.
        found: samples of what each module returned for three images.
    """
    last, values = network.layers[-1], found.get(f"{OUTPUT}@1")
    if (
        values is None
        or values.ndim != 2
        or last.spatial
        or last.squashed
        or last.rectified
        or values.shape[1] < _FEWEST_CLASSES
    ):
        return None
    if values.shape[1] != last.channels:  # samples of very many classes
        return None
    if bool((values >= 0.0).all()) and bool(((values.sum(1) - 1.0).abs() < _SUM).all()):
        return _squashed("probabilities", "its values lie between 0 and 1 and add up to 1")
    if bool(((values.exp().sum(1) - 1.0).abs() < _SUM).all()):
        return _squashed("the logarithms of probabilities", "the exponentials of its values add up to 1")
    unit = bool(((values.square().sum(1) - 1.0).abs() < _SUM).all())  # normalized, as embeddings are
    # It comes straight from one of torch's layers, so no squashing by hand follows.
    modules = dict(network.model_copy.module.named_modules())
    plain = any(
        key != f"{OUTPUT}@1" and torch.equal(one, values) and not any(modules[key.rpartition("@")[0]].children())
        for key, one in found.items()
        if type(modules[key.rpartition("@")[0]]).__module__.startswith("torch.nn.")
    )
    within = not (unit or plain) and bool((values >= 0.0).all()) and bool((values <= 1.0 + _SUM).all())
    within = within and bool((values > 0.5).any())
    if within and values.shape[1] >= _MANY_CLASSES:
        return _squashed("probabilities", "all of its values lie between 0 and 1")
    return None


def _squashed(what: str, sign: str) -> tuple[str, str]:
    return _SQUASHED[0].format(what=what), _SQUASHED[1].format(what=what, sign=sign)


_BATCH = (
    "one image at a time, since results depend on the batch from {where} on",
    "What this model makes of an image depends on the other images of its batch, from {where} on. Images are given to "
    "it one at a time, so that activations are those of an image alone; those of your own batches differ. (Batch "
    "normalization does so without running statistics, with track_running_stats=False.)",
)
_SQUASHED = (
    "classes may be read after a hand-written squashing function: they look like {what}",
    "What this model returns looks like {what}: for each of three images of noise {sign}. The softmax or sigmoid that "
    "made them was not recognized, so classes are drawn and read after it, where they saturate. Return the "
    "logits, or write it as torch.softmax, torch.log_softmax or torch.sigmoid: classes are then "
    "read before it.",
)
_RANDOM = (
    "random from {where} on; each forward draws from a seeded state of its own",
    "This model's forward draws random numbers, and what it makes of an image differs from forward to forward, from "
    "{where} on. Here each forward draws from a seeded random state of its own, so that results can be repeated; they "
    "are those of one draw. To look into the model without its noise, turn that off in it.",
)
_NOT_REPEATED = (
    "other results for the same image, from {where} on",
    "This model gives other results when it is given the same image again, from {where} on, and draws no random "
    "numbers for it: something in it counts or remembers. Pictures and activations can't be repeated exactly.",
)


def _images(network: Network, size: Size) -> Tensor:
    """Return a batch of three images, ``[3, C, H, W]`` in [0, 1], the second of which is given alone too."""
    draws = torch.Generator().manual_seed(0)
    image = noise(network.channels, size, draws)
    others = torch.rand(2, *image.shape, generator=draws, dtype=torch.float32, device="cpu")
    return torch.stack([others[0], image, others[1] * 0.3]).to(network.model_copy.device)


def _outputs(model_copy: ModelCopy, images: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Run the whole forward; return samples ``[N, K]`` of each module's output by name, in call order."""
    found: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def hook(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            try:
                value = as_tensor(output, name)
            except LayerError:
                return
            if value.ndim > 0 and value.dtype.is_floating_point:
                found[f"{name}@{calls[name]}"] = _sample(value)

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in model_copy.module.named_modules()]
    try:
        model_copy.whole(images, seed)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _sample(values: Tensor) -> Tensor:
    """Return a sample of some 4096 values of each image, from all parts of its output."""
    for dim in reversed(range(1, values.ndim)):
        step = min(-(-values[:1].numel() // _SAMPLE), values.shape[dim])
        if step > 1:
            values = values[(slice(None),) * dim + (slice(step // 2, None, step),)]
    return values.detach().flatten(1).float().clone() if values.ndim > 1 else values.detach()[:, None].float().clone()


def _difference(network: Network, one: dict[str, Tensor], other: dict[str, Tensor]) -> str | None:
    """Return in words where the first difference beyond rounding is; None if there is none."""
    tolerance = torch.finfo(network.model_copy.dtype).eps ** 0.5
    modules = dict(network.model_copy.module.named_modules())
    for key, values in one.items():
        others = other.get(key)
        if others is None or others.shape != values.shape or not bool(torch.isfinite(values).all()):
            continue
        # Over all values together: rounding to a few levels (quantization) may move single ones by a whole level.
        if float((values - others).norm()) > tolerance * float(values.norm()):
            name = key.rpartition("@")[0]
            kind = type(modules[name]).__name__
            return f"{name!r} ({kind})" if name != OUTPUT else f"the forward of the {kind}"
    return None


# The receptive field of one position


def _fields(network: Network) -> tuple[list[Finding], str | None]:
    """Compare the gradient of one position with its box, in a middle layer and in the last whose field is exact."""
    maps = {layer: field_map(network, layer, measure=False) for layer in network.layers if layer.spatial}
    exact = [layer for layer, fields in maps.items() if fields.kind == "exact"]
    narrow = [layer for layer in exact if maps[layer].share <= _WIDE]
    tried = dict.fromkeys((*narrow[-1:], *[layer for layer in exact[-1:] if maps[layer].share < 1.0]))
    try:
        wrong = next((layer for layer in tried if not _inside(network, layer)), None)
        if wrong is None:
            return [], None
        low, high = 0, exact.index(wrong)
        while low < high:  # where it begins
            middle = (low + high) // 2
            if _inside(network, exact[middle]):
                low = middle + 1
            else:
                high = middle
    except (PeekError, RuntimeError, ValueError):
        return [], None
    first = exact[high].name
    return [Finding(_FIELD[0].format(layer=first), _FIELD[1].format(layer=first), FieldWarning)], first


_FIELD = (
    "receptive fields measured from {layer!r} on",
    "From the layer {layer!r} on, units do not look where the layers' sizes and strides say: the gradient of a "
    "position lies outside of the receptive field that follows from them. Something in the forward moves places or "
    "mixes them (a flip, a normalization over the whole image). Receptive fields are measured there, by gradients.",
)


def _inside(network: Network, layer: Layer) -> bool:
    """Return whether the gradient of a position lies in its receptive field; True if there is no gradient."""
    return not share_inside(network, layer) < 1.0 - _OUTSIDE


# The preprocessing


def _preprocessing(network: Network) -> list[Finding]:
    """Return what a preprocess function does besides changing each pixel by itself.

    What moves pixels was refused when the model was read.
    """
    if network.preprocess.function is None:
        return []
    found = try_pixels(network.preprocess.function, network.channels, network.size, network.model_copy.device)
    return [
        *[Finding(*_MIXED, PreprocessWarning)] * found.mixes,
        *[Finding(*_NOISY, PreprocessWarning)] * found.random,
        *[Finding(*_TOGETHER, PreprocessWarning)] * found.together,
    ]


_MIXED = (
    "preprocessing that mixes a little of the pixels around into each",
    "preprocess= mixes a little of the pixels around into each pixel (a normalization by what is around it, say): a "
    "unit is influenced by pixels just outside of its crop and its box. Where that matters, give a function that "
    "converts each pixel by itself, such as Preprocess(mean, std).",
)
_NOISY = (
    "preprocessing draws random numbers, the same ones each time",
    "preprocess= draws random numbers (it adds noise, say). Here it draws the same ones each time, from a seeded "
    "random state of its own, so that pictures and activations can be repeated; they are those of one draw. Give the "
    "preprocessing of evaluation, without them.",
)
_TOGETHER = (
    "preprocessing is given one image at a time, since it depends on the batch",
    "preprocess= gives another result for an image in a batch than for the image alone (it divides by the largest "
    "value of the whole batch, say). Here it is given one image at a time, so that activations are those of an image "
    "alone; those of your own batches differ. Take such numbers over the dimensions of one image, e.g. amax((1, 2, 3), "
    "keepdim=True).",
)
