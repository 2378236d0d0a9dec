"""Reading a model: a copy of its structure, its layers from a dry run, and what a probe finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from peek_widget._size import Size, SizeLike
from peek_widget._threads import computing_on
from peek_widget.errors import ModelError
from peek_widget.network import probe as probing
from peek_widget.network.findings import Finding, Findings, Known, hook_findings
from peek_widget.network.layers import Layer
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.network import Network
from peek_widget.network.preprocess import Preprocess, PreprocessFunction
from peek_widget.network.trial import find_images

__all__ = ["layers", "read", "read_again"]


def read(
    model: nn.Module | ModelCopy,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
    probe: bool = True,
) -> Network:
    """Read a model: copy its structure, find its layers in one dry run of the copy, and probe it.

    The probe, some forwards on noise, tries what the rest of the package relies on: an image alone gives the same as in
    a batch, and the same twice; the gradient of a position lies in its receptive field; ``preprocess`` changes each
    pixel by itself. What it finds is in ``repr`` of the network, and where it changes answers, it is warned of.

    Args:
        model: the user's model, which is neither run nor changed; or a copy of it, which is then run.
        input_size: size of the image that the model was made for: the side of a square in pixels, or (height, width).
            Left out, it is what ``preprocess`` says, ``model.input_size`` or that of timm's ``pretrained_cfg``, else a
            square found by trial: 224 where that works, less where the deepest layer's receptive field is much smaller.
        preprocess: see :func:`~peek_widget.network.preprocess.find_preprocess`.
        device: where to run; left out, the model's own.
        probe: whether to probe the model; ``PEEK_PROBE=0`` in the environment turns it off everywhere.

    Raises:
        ModelError: if it is not a model of images that can be read, with the reason.
        SizeError: if ``input_size`` is not one or two whole numbers above 0.

    Warns:
        HookWarning: if a hook of the model can't be run with its copy.
        BatchWarning: if results depend on the other images of a batch.
        RandomWarning: if results differ from one forward to the next.
        FieldWarning: if receptive fields are not where the layers say.
        OutputWarning: if the result looks squashed by something that was not recognized.
        PreprocessWarning: if ``preprocess`` mixes pixels a little, or draws random numbers.
    """
    # A tensor made in inference mode can never take part in an ascent: neither the copy's buffers nor the dry run's
    # graph.
    with computing_on(), torch.inference_mode(False):
        model_copy = model if isinstance(model, ModelCopy) else ModelCopy(model, device)
        network = _with_findings(_read(model_copy, input_size, preprocess), None if probe else Findings())
    network.findings.warn()
    return network


@torch.inference_mode(False)
def read_again(
    known: Known,
    model: nn.Module,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> Network:
    """Read a model that was read before, in any thread: known findings are reused, without warnings.

    Args:
        known: what was found out (:attr:`Network.known`).
        model, input_size, preprocess, device: see :func:`read`.
    """
    model_copy = ModelCopy(model, device, known)
    network = _read(model_copy, input_size, preprocess, check=False)
    same = model_copy.structure == known.structure
    return _with_findings(network, known.findings if same else None)


def _with_findings(network: Network, known: Findings | None) -> Network:
    """Return the network with its findings, including those of its hooks; probe it if none are known."""
    findings = known if known is not None or not probing.enabled() else probing.probe(network)
    network.model_copy.draws.settle()
    findings = findings or Findings()
    of_hooks = hook_findings(network.model_copy.hooks)
    others = [one for one in findings.all if not (one.of_hook or one.of_forward)]
    findings = replace(findings, all=(*of_hooks, *_of_forward(network), *others))
    first = next((layer.index for layer in network.layers if layer.name == findings.measured_from), len(network.layers))
    layers = [_measured(one, network.size) if one.index >= first else one for one in network.layers]
    return replace(network, findings=findings, layers=tuple(layers))


def _of_forward(network: Network) -> list[Finding]:
    """Return the findings of the dry run."""
    found = []
    squashed = network.layers[-1].squashed
    if squashed:
        found.append(Finding(f"classes are read before the {' and the '.join(squashed)}", of_forward=True))
    if network.model_copy.least_images > 1:
        found.append(Finding("two images at a time, since its forward squeezes away a single one", of_forward=True))
    cuts = sorted({cut for layer in network.layers for cut in layer.cuts})
    without = [layer.name for layer in network.layers if not layer.differentiable]
    if without:
        where = without[0] or "the output"
        where = where if len(without) == 1 else f"{len(without)} layers ({where}...)"
        text = f"no gradient in {where}" + (f", because of {' and '.join(cuts)}" if cuts else "")
        found.append(Finding(text, of_forward=True))
    return found


def _measured(layer: Layer, size: Size) -> Layer:
    """Return a layer whose fields have to be measured at each position."""
    if not layer.spatial or layer.traced is None:
        return layer
    traced = replace(layer.traced, rows=None, columns=None, moved="the forward")
    return replace(layer, global_field=True, receptive_field=(size.height, size.width), traced=traced)


def _read(
    model_copy: ModelCopy,
    input_size: SizeLike | None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None,
    check: bool = True,
) -> Network:
    """Find the layers of a model, without the hooks that fail in its copy."""
    try:
        found = find_images(model_copy, input_size, preprocess, check)
    except ModelError:
        if not model_copy.hooks.leave_out_failed():
            raise
        found = find_images(model_copy, input_size, preprocess, check)
    return Network(model_copy, found.layers, found.channels, found.size, found.preprocess, found.paddings)


def layers(
    model: nn.Module | ModelCopy,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
) -> list[Layer]:
    """List the layers that a model's forward runs and that have units, in call order.

    They are found by one dry run of a structural copy: the model itself is neither run nor changed. (torchvision's
    ``get_graph_node_names`` and timm's ``feature_info`` answer the same question for models that they can trace.)

    Args:
        model: any convolutional ``torch.nn.Module`` whose forward takes one batch of images.
        input_size: the image that it was made for: the side of a square in pixels, or (height, width); left out, as in
            :func:`read`.
        preprocess: a :class:`Preprocess`, a function on images in [0, 1], or ``"none"``.

    Returns:
        one :class:`Layer` for each; the last is the model's output, named ``""``.

    Raises:
        ModelError: if the model can't be read, with the reason.
    """
    return list(read(model, input_size, preprocess).layers)
