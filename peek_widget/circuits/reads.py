"""The layers that a layer reads, found from the graph that runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peek_widget.circuits.calls import IMAGE, NONLINEAR, Call, Wiring, names, wiring_of
from peek_widget.errors import LayerError, ModelError
from peek_widget.network import OUTPUT, Layer, Network

__all__ = ["Read", "activation_value", "check_layer", "readers_of", "reads_of"]

# Functions that make one set of units from another. All others pass units on: they add, join, pool, normalize, rectify
# or scale them.
_MAKING = names(
    """
        conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear bilinear matmul rmatmul
        mm bmm addmm addbmm baddbmm einsum tensordot convolution conv_depthwise2d scaled_dot_product_attention
        multi_head_attention_forward deform_conv2d
        """
)
# Functions whose result has the same units as what they are given.
_SAME_UNITS = NONLINEAR | names(
    """
        max_pool2d max_pool2d_with_indices avg_pool2d lp_pool2d adaptive_avg_pool2d adaptive_max_pool2d
        adaptive_max_pool2d_with_indices batch_norm instance_norm group_norm layer_norm rms_norm dropout
        dropout1d dropout2d alpha_dropout feature_dropout contiguous clone to float half double bfloat16 type
        pad interpolate flatten squeeze unsqueeze view reshape mean amax mul imul div add sub identity
        local_response_norm blur_pool
        """
)


@dataclass(frozen=True)
class Read:
    """A layer that another one reads, and where.

    Attributes:
        layer: name of the layer whose units are read; None for the image, whose channels are colors.
        value: the value of it that is read: its units after their ReLU, or after whatever follows them.
    """

    layer: str | None
    value: int


def check_layer(network: Network, name: str) -> Layer:
    """Return a layer whose units have a circuit.

    Raises:
        LayerError: if there is no such layer, or it is a layer of tokens or boxes, or its units are not counted by one
            dimension.
    """
    layer = network.layer(name)
    why = _refusal(layer)
    if why:
        raise LayerError(f"{why}. Circuits are of convolutional and linear layers, [N, C, H, W] or [N, C].")
    return layer


def _refusal(layer: Layer) -> str:
    """Return why units of a layer have no circuit, without a period; "" where they have one."""
    if layer.layout.grid is not None or layer.layout.token is not None:
        return (
            f"The layer {layer.name!r} is a list of tokens (a transformer's) or of boxes (a detector's): what its "
            "places read differs from one to the next, and with attention from image to image, so that one table of "
            "inputs would be wrong"
        )
    return _why_not_counted(layer)


def _why_not_counted(layer: Layer) -> str:
    """Return why units of a layer are not counted by one dimension, without a period; "" where they are."""
    if layer.layout.single:
        return f"The layer {layer.name!r} has no dimension of units: it returns one number, or one map, for each image"
    if layer.layout.flat or len(layer.layout.order) > 4:
        return (
            f"The layer {layer.name!r} returns {len(layer.layout.order)} dimensions, of which several together count "
            "its units (the channels and frames of a 3D convolution, say), while a circuit holds units along one"
        )
    return ""


def reads_of(network: Network, name: str, below: Iterable[str] | None = None) -> list[Read]:
    """Return the layers that a layer reads: the nearest ones before it that have units of their own.

    What only passes units on is looked through: concatenations, sums, poolings, normalizations, activations. A
    bypass (the shortcut of a residual block) leads to the layer that it comes from.

    Args:
        network: the model.
        name: the layer.
        below: names of earlier layers to look back to instead, however far they are.

    Returns:
        One for each layer, in call order; the image last.

    Raises:
        LayerError: if there is no such layer, it does not depend on one of ``below``, or units of one that it reads
            are not counted by one dimension.
        ModelError: if something in the forward can't be followed.
    """
    found = _reads(network, name, below)
    for one in found:
        why = "" if one.layer is None else _why_not_counted(network.layer(one.layer))
        if why:
            raise LayerError(
                f"{name!r} reads a layer whose units a circuit can't show. {why}. Give circuit() an earlier layer to "
                "look back to, as below=."
            )
    return found


def _reads(network: Network, name: str, below: Iterable[str] | None = None) -> list[Read]:
    """Return what :func:`reads_of` returns, whatever dimensions those layers have."""
    wiring = wiring_of(network)
    layer = check_layer(network, name)
    owners = _owners(network, wiring)
    found: dict[str | None, list[int]] = {}
    if below is None:
        _walk(network, wiring, owners, layer, found)
    else:
        for one in below:
            lower = check_layer(network, one)
            if lower.index >= layer.index or not _depends(wiring, _value(wiring, layer), _value(wiring, lower)):
                raise LayerError(
                    f"The layer {name!r} does not read {one!r}, directly or through others: name one before it."
                )
            found[lower.name] = [_last(wiring, owners, _value(wiring, lower), _value(wiring, layer))]
    reads = [
        Read(owner, values[0] if len(set(values)) == 1 or owner is None else _value(wiring, network.layer(owner)))
        for owner, values in found.items()
    ]
    return sorted(reads, key=lambda read: read.value if read.layer is not None else 10**12)


def readers_of(network: Network, name: str) -> list[tuple[str, int]]:
    """Return the layers that read a layer, in call order, each with the value that it reads of it.

    Raises:
        LayerError: if it is the model's output, or no layer whose units have a circuit reads it.
    """
    wiring = wiring_of(network)
    layer = check_layer(network, name)
    if layer.name == OUTPUT or wiring.outputs.get(layer.output) == wiring.outputs.get(OUTPUT):
        raise LayerError("The model's output is its last layer: no layer is above it that could read its classes.")
    value, owners = _value(wiring, layer), _owners(network, wiring)
    own = {layer.name, owners.get(value)}
    # A block that only joins it to others, or adds it to them, is read in its place.
    joining = {
        other.name
        for other in network.layers
        if other.primary
        and other.index > layer.index
        and other.output in wiring.outputs
        and _passes_on(wiring, value, _value(wiring, other))
    }
    found = []
    for other in network.layers:
        if not other.primary or other.index <= layer.index or _refusal(other):
            continue
        if other.output not in wiring.outputs:
            continue
        for read in _reads(network, other.name):
            if read.layer in own:
                found.append((other.name, read.value))
            elif read.layer in joining:
                found.append((other.name, value))
    if not found:
        raise LayerError(
            f"No layer reads {name!r} that circuits are of: what the model's forward runs after it does not depend on "
            "it, or first goes through tokens or a layer whose units lie along several dimensions."
        )
    return found


def activation_value(network: Network, name: str) -> int:
    """Return the value that a layer's module returned."""
    return _value(wiring_of(network), network.layer(name))


def _value(wiring: Wiring, layer: Layer) -> int:
    value = wiring.outputs.get(layer.output)
    if value is None or value == IMAGE:
        why = "its output comes from a function whose inputs PyTorch does not let us see"
        if value == IMAGE:
            why = "its output is the image itself"
        raise ModelError(f"There is no circuit for {layer.name!r}: {why}. Choose another layer.")
    return value


def _owners(network: Network, wiring: Wiring) -> dict[int, str]:
    """Return, for each value that holds a layer's units (its output and what follows), the name of that layer."""
    owners = {
        wiring.outputs[layer.output]: layer.name
        for layer in network.layers
        if layer.primary and layer.output in wiring.outputs
    }
    for value, one in wiring.calls.items():
        if value not in owners:
            main = _main(one)
            if main is not None and main in owners and one.name in _SAME_UNITS:
                owners[value] = owners[main]
    return owners


def _main(one: Call) -> int | None:
    """Return the one value that a call passes on, its other inputs being weights or gates; None if there are several.

    A gate is a factor without positions (of squeeze-and-excitation), which scales the units that are there.
    """
    values = dict.fromkeys(one.needed)
    if len(values) == 1:
        return next(iter(values))
    if one.name in ("mul", "imul") and len(one.inputs) == 2:
        sizes = [_positions(shape) for shape in one.shapes]
        if sizes[0] != sizes[1]:
            return one.inputs[0] if sizes[0] > sizes[1] else one.inputs[1]
    return None


def _positions(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape[2:]:
        count *= side
    return count


def _walk(
    network: Network, wiring: Wiring, owners: dict[int, str], layer: Layer, found: dict[str | None, list[int]]
) -> None:
    start = _value(wiring, layer)
    own = {layer.name, owners.get(start, layer.name)}
    todo, seen = [(start, False)], set()
    while todo:
        value, crossed = todo.pop()
        if (value, crossed) in seen:
            continue
        seen.add((value, crossed))
        if value == IMAGE:
            found.setdefault(None, []).append(IMAGE)
            continue
        owner = owners.get(value)
        if owner is not None and owner not in own and (crossed or not _inside(owner, layer.name)):
            found.setdefault(owner, []).append(_behind_activation(wiring, owners, value))
            continue
        one = wiring.calls[value]
        main = _main(one)
        needed = one.needed if main is None else (main,)
        todo.extend((before, crossed or one.name in _MAKING) for before in needed)


def _inside(name: str, container: str) -> bool:
    return container == OUTPUT or name.startswith(f"{container}.")


def _behind_activation(wiring: Wiring, owners: dict[int, str], value: int) -> int:
    """Return the value after the last activation function on the path to one that has the same units."""
    owner, at = owners[value], value
    while True:
        one = wiring.calls[at]
        if one.name in NONLINEAR:
            return at
        main = _main(one)
        if main is None or owners.get(main) != owner or one.name not in _SAME_UNITS:
            return at
        at = main


def _last(wiring: Wiring, owners: dict[int, str], value: int, before: int) -> int:
    """Return a layer's value after its activation function, where all that depends on the layer reads that value."""
    at = value
    while True:
        readers = [one for other, one in wiring.calls.items() if at in one.needed and other <= before]
        if len({one.number for one in readers}) != 1:
            return at
        one = readers[0]
        if one.name not in NONLINEAR or _main(one) != at:
            return at
        at = one.number * 1000


def _passes_on(wiring: Wiring, value: int, to: int) -> bool:
    """Return whether a value reaches another one without new units being made on the path."""
    todo, seen = [to], set()
    while todo:
        one = todo.pop()
        if one == value:
            return True
        if one in seen or one == IMAGE or one < value or wiring.calls[one].name in _MAKING:
            continue
        seen.add(one)
        todo.extend(wiring.calls[one].needed)
    return False


def _depends(wiring: Wiring, value: int, on: int) -> bool:
    todo, seen = [value], set()
    while todo:
        one = todo.pop()
        if one == on:
            return True
        if one in seen or one == IMAGE or one < on:
            continue
        seen.add(one)
        todo.extend(wiring.calls[one].needed)
    return False
