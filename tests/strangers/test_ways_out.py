"""Each refusal that a stranger may meet: words of its cause, the way out that it names, and what then holds."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from peek_widget import (
    Channel,
    Direction,
    Logit,
    Neuron,
    Preprocess,
    Recipe,
    UnitExplorer,
    activations,
    fingerprint,
    layers,
    load_evidence,
    load_recipe,
    read,
    render,
    score_pictures,
    survey,
    top_crops,
)
from peek_widget.errors import PeekError
from peek_widget.evidence import EvidencePass
from peek_widget.network import Network
from tests.networks import Tiny, tiny
from tests.strangers.images import colors

MODEL = tiny()
IMAGES = [colors(seed, 32) for seed in range(4)]
SHORT = Recipe.preset("peek").replace(steps=len(Recipe.preset("peek").octaves))
NORMALIZED = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def crops(dataset: Any = IMAGES, layer: Any = "forms", **given: Any) -> Any:
    if "model" in given or "input_size" in given:
        how = {"input_size": 32, **given}
        model = how.pop("model", MODEL)
    else:
        model, how = network(), given
    return top_crops(model, layer, dataset, **{"k": 1, "progress": False, "workers": 0, **how})


@functools.cache
def network() -> Network:
    return read(MODEL, 32)


CLASS = Logit(1)


def drawn(objective: Any = CLASS, model: nn.Module = MODEL, recipe: Any = SHORT, **given: Any) -> Any:
    return render(model, objective, recipe, **{"size": 32, "input_size": 32, "progress": False, **given})


@dataclass
class Refusal:
    """A call that is refused, words of the sentence, and what it says to do; ``holds`` is told what that returned."""

    refused: Callable[[Path], Any]
    words: str
    way_out: Callable[[Path], Any]
    holds: Callable[[Any], bool] = lambda found: found is not None


class Locked(Tiny):
    """Holds what can't be copied."""

    def __init__(self, lock: bool = True) -> None:
        super().__init__()
        if lock:
            self.lock = threading.Lock()


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LazyConv2d(4, 3)

    def forward(self, x):
        return self.conv(x)


class Patches(nn.Module):
    """The beginning of a vision transformer, by a Linear or by a convolution."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed, self.head = embed, nn.Linear(16, 5)

    def forward(self, x):
        if isinstance(self.embed, nn.Conv2d):
            tokens = self.embed(x).flatten(2).transpose(1, 2)
        else:
            tokens = self.embed(nn.functional.unfold(x, 4, stride=4).transpose(1, 2))
        return self.head(tokens.mean(1))


def same_patches(linear: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    conv, image = nn.Conv2d(3, 16, 4, stride=4), torch.rand(1, 3, 32, 32)
    conv.weight.data, conv.bias.data = linear.weight.data.view(16, 3, 4, 4), linear.bias.data
    before, after = Patches(linear), Patches(conv)
    after.head = before.head
    return read(after, 32, "none").run(image, [""])[""], before(image)


def run_once(model: nn.Module) -> nn.Module:
    model(torch.zeros(1, 3, 32, 32))
    return model


def scripted() -> nn.Module:
    return torch.jit.trace(tiny().eval(), torch.zeros(1, 3, 32, 32), check_trace=False)


def with_weights(model: nn.Module) -> nn.Module:
    model.to_empty(device="cpu").load_state_dict(MODEL.state_dict())
    return model


def loaded(weights: dict[str, Any]) -> nn.Module:
    model = Tiny()
    model.load_state_dict(weights)
    return model


def saved(path: Path, **given: Any) -> Path:
    crops(**given).save(path / "e.safetensors")
    return path / "e.safetensors"


def folder(path: Path) -> Path:
    for number, image in enumerate(IMAGES):
        (path / "photos").mkdir(exist_ok=True)
        image.save(path / "photos" / f"{number}.png")
    return path / "photos"


def a_loader() -> DataLoader:
    return DataLoader([(torch.rand(3, 32, 32), 0)] * 4, batch_size=2)


def resumed(path: Path, **given: Any) -> Any:
    return crops(store=saved(path), **given)


def closed() -> UnitExplorer:
    explorer = UnitExplorer(MODEL, playing=False, threads=1)
    explorer.close()
    return explorer


def kept(explorer: UnitExplorer, look: Callable[[UnitExplorer], Any]) -> Any:
    try:
        return look(explorer)
    finally:
        explorer.close()


REFUSALS: dict[str, Refusal] = {
    # models
    "a class": Refusal(
        lambda _: layers(Tiny), r"is a class, not a model: make one first, Tiny\(", lambda _: layers(Tiny(), 32)
    ),
    "no module": Refusal(
        lambda _: layers(lambda x: x), "function was given where a PyTorch model", lambda _: layers(MODEL)
    ),
    "a state_dict": Refusal(
        lambda _: layers(MODEL.state_dict()),
        r"OrderedDict was given, which holds weights.*model\.load_state_dict\(weights\)",
        lambda _: layers(loaded(MODEL.state_dict()), 32),
    ),
    "a checkpoint": Refusal(
        lambda _: layers({"epoch": 3, "state_dict": MODEL.state_dict()}),
        r"model\.load_state_dict\(checkpoint\['state_dict'\]\)",
        lambda _: layers(loaded({"state_dict": MODEL.state_dict()}["state_dict"]), 32),
    ),
    "a checkpoint with its model": Refusal(
        lambda _: layers({"epoch": 3, "model": MODEL}),
        r"give the model itself, checkpoint\['model'\]",
        lambda _: layers({"epoch": 3, "model": MODEL}["model"], 32),
    ),
    "a name": Refusal(
        lambda _: layers("squeezenet"), "The name 'squeezenet' was given.*make the model", lambda _: layers(tiny(), 32)
    ),
    "a file of weights": Refusal(
        lambda _: UnitExplorer("runs/best.pth"),
        r"A file holds weights: .*load_state_dict",
        lambda _: layers(loaded(MODEL.state_dict()), 32),
    ),
    "TorchScript": Refusal(lambda _: layers(scripted()), "give the Python module", lambda _: layers(tiny(), 32)),
    "lazy": Refusal(lambda _: layers(Lazy()), "run the model once on an image", lambda _: layers(run_once(Lazy()))),
    "meta": Refusal(
        lambda _: layers(tiny().to("meta")),
        "meta.*load_state_dict",
        lambda _: layers(with_weights(tiny().to("meta")), 32),
    ),
    "can't be copied": Refusal(
        lambda _: layers(Locked()), r"can't be copied \(TypeError.*a lock", lambda _: layers(Locked(False), 32)
    ),
    "no such device": Refusal(
        lambda _: read(MODEL, 32, device="cuda:99"),
        "can't be moved to device.*Leave device out",
        lambda _: read(MODEL, 32),
    ),
    "a size that it can't take": Refusal(
        lambda _: layers(MODEL, 0), "input_size=0.*e.g. 224", lambda _: layers(MODEL, 224)
    ),
    "channels": Refusal(
        lambda _: layers(MODEL, 32, Preprocess(channels=1)),
        r"first convolution takes 3 and was given 1: give Preprocess\(.*channels=3\)",
        lambda _: layers(MODEL, 32, Preprocess(mean=MEAN, std=STD, channels=3)),
    ),
    "patches through a Linear": Refusal(
        lambda _: layers(Patches(nn.Linear(48, 16)), 32),
        r"no convolution.*conv\.weight = linear\.weight\.view",
        lambda _: same_patches(nn.Linear(48, 16)),
        lambda found: torch.allclose(*found, atol=1e-5),
    ),
    "no fingerprint": Refusal(lambda _: fingerprint(3), "give a PyTorch model", lambda _: fingerprint(MODEL)),
    # layers and units
    "no such layer": Refusal(
        lambda _: drawn(Neuron("form", 1)), "no layer 'form'; near names: forms", lambda _: drawn(Neuron("forms", 1))
    ),
    "a layer that never runs": Refusal(
        lambda _: drawn(Neuron("unused", 0)),
        "is in the model, but has no units that can be drawn: its forward never runs it",
        lambda _: drawn(Neuron(layers(MODEL, 32)[0].name, 0)),
    ),
    "another model's module": Refusal(
        lambda _: crops(layer=tiny().forms),
        r"not a module of this model: give one of model\.modules\(\)",
        lambda _: crops(layer=MODEL.forms),
    ),
    "a layer by number": Refusal(
        lambda _: crops(layer=[3]),
        "named by a string.*int was given",
        lambda _: crops(layer=[layers(MODEL, 32)[1].name]),
    ),
    "one layer by number": Refusal(
        lambda _: crops(layer=1), "named by a string.*int was given", lambda _: crops(layer=layers(MODEL, 32)[1].name)
    ),
    "no layer at all": Refusal(
        lambda _: crops(layer=[]), r"layers is empty.*layers\(model\)", lambda _: crops(layer=["forms"])
    ),
    "no such unit": Refusal(
        lambda _: drawn(Neuron("forms", 8)), "has 8 units, numbered 0 to 7; unit 8", lambda _: drawn(Neuron("forms", 7))
    ),
    "a unit that is no number": Refusal(
        lambda _: drawn(Neuron("forms", "dog")), "whole number", lambda _: drawn(Neuron("forms", 0))
    ),
    "no such position": Refusal(
        lambda _: drawn(Neuron("forms", 1, at=(99, 0))),
        r"16 rows and 16 columns.*from \(0, 0\) to \(15, 15\)",
        lambda _: drawn(Neuron("forms", 1, at=(1, 0))),
    ),
    "a direction of another length": Refusal(
        lambda _: drawn(Direction("forms", torch.ones(5))), "8", lambda _: drawn(Direction("forms", torch.ones(8)))
    ),
    # preprocessing
    "a word": Refusal(lambda _: layers(MODEL, 32, "imagenet"), "takes is 'none'", lambda _: layers(MODEL, 32, "none")),
    "numbers for other channels": Refusal(
        lambda _: Preprocess(mean=[0.5], std=[0.5]),
        "mean has 1 numbers for 3 channels",
        lambda _: Preprocess(mean=0.5, std=0.5),
    ),
    "a random crop": Refusal(
        lambda _: layers(MODEL, None, v2.Compose([v2.RandomResizedCrop(32), v2.Normalize(MEAN, STD)])),
        "preprocessing of evaluation",
        lambda _: layers(MODEL, None, v2.Compose([v2.Resize(32), v2.CenterCrop(32), v2.Normalize(MEAN, STD)])),
    ),
    "a crop without a resize": Refusal(
        lambda _: layers(MODEL, None, v2.Compose([v2.CenterCrop(32), v2.Normalize(MEAN, STD)])),
        "put a Resize before it",
        lambda _: layers(MODEL, None, v2.Compose([v2.Resize(40), v2.CenterCrop(32), v2.Normalize(MEAN, STD)])),
    ),
    "gray levels without their scale": Refusal(
        lambda _: Preprocess(mean=[124, 116, 104], std=[58, 57, 57]),
        "mean.*is above scale=1.*give scale=255",
        lambda _: Preprocess(mean=[124, 116, 104], std=[58, 57, 57], scale=255),
        lambda found: abs(float(found(torch.full((1, 3, 2, 2), 124 / 255))[0, 0, 0, 0])) < 1e-4,
    ),
    "a scale without its gray levels": Refusal(
        lambda _: Preprocess(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], scale=255),
        "are those of values from 0 to 1.*leave scale out",
        lambda _: Preprocess(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ),
    # recipes, sizes and results
    "no such recipe": Refusal(lambda _: drawn(recipe="peak"), "peek", lambda _: Recipe.preset("peek")),
    "a field that a recipe has not": Refusal(
        lambda _: SHORT.replace(bluur=1.0), "blur", lambda _: SHORT.replace(blur=1.0)
    ),
    "fewer steps than octaves": Refusal(
        lambda _: Recipe.preset("lucid-2017").replace(steps=0),
        "steps",
        lambda _: Recipe.preset("lucid-2017").replace(steps=5),
    ),
    "an impossible size": Refusal(lambda _: drawn(size=0), "size", lambda _: drawn(size=32)),
    "bf16 without units for it": Refusal(
        lambda _: drawn(precision="half"), "give 'float32'", lambda _: drawn(precision="float32")
    ),
    "several pictures, one file": Refusal(
        lambda path: drawn([Logit(0), Logit(1)]).save(path / "x.png"),
        "say which.*index=0",
        lambda path: (drawn([Logit(0), Logit(1)]).save(path / "x.png", index=1), load_recipe(path / "x.png"))[1],
        lambda found: found.objective == Logit(1),
    ),
    "an ending that is no format": Refusal(
        lambda path: drawn().save(path / "x.psd"), r"\.psd.*\.png", lambda path: drawn().save(path / "x.png") or 1
    ),
    "a PNG without a recipe": Refusal(
        lambda path: (IMAGES[0].save(path / "x.png"), load_recipe(path / "x.png")),
        "x.png",
        lambda path: (drawn().save(path / "y.png"), load_recipe(path / "y.png"))[1],
    ),
    # datasets
    "an empty name": Refusal(lambda _: crops(""), "e.g. dataset='photos'", lambda path: crops(str(folder(path)))),
    "no such folder": Refusal(lambda path: crops(path / "photoz"), "photoz", lambda path: crops(folder(path))),
    "a folder without images": Refusal(
        lambda path: crops(path), "is empty.*Give one that holds images", lambda path: crops(folder(path))
    ),
    "one image": Refusal(lambda _: crops(IMAGES[0]), r"dataset=\[image\]", lambda _: crops([IMAGES[0]])),
    "one array": Refusal(
        lambda _: crops(np.zeros((32, 32, 3), np.uint8)),
        r"dataset=\[image\]",
        lambda _: crops([np.zeros((32, 32, 3), np.uint8)]),
    ),
    "one tensor": Refusal(
        lambda _: crops(torch.zeros(3, 32, 32)), r"dataset=\[image\]", lambda _: crops([torch.zeros(3, 32, 32)])
    ),
    "a DataLoader": Refusal(
        lambda _: crops(a_loader()), r"of a DataLoader, its \.dataset", lambda _: crops(a_loader().dataset)
    ),
    "an empty list": Refusal(lambda _: crops([]), "give one with at least one image", lambda _: crops(IMAGES)),
    "what is no image": Refusal(
        lambda _: crops([object()]), "not an image but of type object", lambda _: crops([IMAGES[0]])
    ),
    "other channels": Refusal(
        lambda _: crops([torch.rand(7, 32, 32)]),
        "has 7 channels, the network takes 3",
        lambda _: crops([torch.rand(7, 32, 32)[:3]]),
    ),
    "batches": Refusal(
        lambda _: crops([torch.rand(4, 3, 32, 32)]),
        "give each image by itself",
        lambda _: crops(torch.rand(4, 3, 32, 32)),
    ),
    "too few labels": Refusal(
        lambda _: crops(labels=["a"]), "1 entries for 4 images", lambda _: crops(labels=list("abcd"))
    ),
    "a number of crops": Refusal(lambda _: crops(k=0), "whole number from 1", lambda _: crops(k=1)),
    "a resize below the input": Refusal(
        lambda _: crops(resize=16), r"from the network's input size \(32\)", lambda _: crops(resize=32)
    ),
    "a range without extent": Refusal(
        lambda _: crops(value_range=(1, 1)), r"such as \(0, 4095\)", lambda _: crops(value_range=(0, 4095))
    ),
    "one image for activations": Refusal(
        lambda _: activations(MODEL, torch.rand(3, 32, 32), "forms"),
        r"image\[None\]",
        lambda _: activations(MODEL, torch.rand(3, 32, 32)[None], "forms"),
    ),
    "normalized images": Refusal(
        lambda _: activations(MODEL, NORMALIZED, "forms", input_size=32),
        "say prepared=True",
        lambda _: (
            activations(MODEL, NORMALIZED, "forms", input_size=32, prepared=True)["forms"],
            read(MODEL, 32).run(NORMALIZED, ["forms"])["forms"],
        ),
        lambda found: torch.allclose(*found, atol=1e-5),
    ),
    "normalized images of a pass": Refusal(
        lambda _: crops(NORMALIZED), "say prepared=True", lambda _: crops(NORMALIZED, prepared=True)
    ),
    # evidence
    "a unit past the last": Refusal(lambda _: crops()[8], "numbered 0 to 7", lambda _: crops()[7]),
    "a layer of another pass": Refusal(
        lambda _: crops(layer=["forms"])["edges"],
        "it covered 'forms'",
        lambda _: crops(layer=["forms", "edges"])["edges"],
    ),
    "no such file": Refusal(
        lambda path: load_evidence(path / "none.safetensors"),
        r"evidence\.save\(path\)",
        lambda path: load_evidence(saved(path)),
    ),
    "another k": Refusal(
        lambda path: resumed(path, k=2), "k and per_image.*give the same, or", lambda path: resumed(path, k=1)
    ),
    "weights that have changed": Refusal(
        lambda path: resumed(path, model=Tiny()),
        "another store=",
        lambda path: crops(model=Tiny(), store=path / "other.safetensors"),
    ),
    "images of a file": Refusal(
        lambda path: load_evidence(saved(path))["forms"][1].top[0].image,
        r"load_evidence\(path, dataset=",
        lambda path: load_evidence(saved(path), dataset=IMAGES)["forms"][1].top[0].image,
        lambda found: isinstance(found, Image.Image),
    ),
    "the focus of a file's crop": Refusal(
        lambda path: load_evidence(saved(path), IMAGES)["forms"][1].top[0].focus,
        r"model=model",
        lambda path: load_evidence(saved(path), IMAGES, model=MODEL)["forms"][1].top[0].focus,
    ),
    "a survey of several layers": Refusal(
        lambda _: survey(crops(layer=["forms", "edges"], labels=[0, 1, 0, 1])),
        r"evidence\[layer\]",
        lambda _: survey(crops(layer=["forms", "edges"], labels=[0, 1, 0, 1])["forms"], groups={"a": [0]}),
    ),
    "a survey without labels": Refusal(
        lambda _: survey(crops()),
        "make the pass with labels=",
        lambda _: survey(crops(labels=[0, 1, 0, 1]), groups={"a": [0]}),
    ),
    "scores with one seed": Refusal(
        lambda _: score_pictures(MODEL, crops(), seeds=(1, 1)), "two different numbers", lambda _: (0, 1)
    ),
    "a duty of nothing": Refusal(
        lambda _: EvidencePass(MODEL, "forms", IMAGES, duty=0.0, input_size=32),
        "above 0 and up to 1",
        lambda _: EvidencePass(MODEL, "forms", IMAGES, duty=1.0, input_size=32),
    ),
    # the explorer
    "labels without a dataset": Refusal(
        lambda _: UnitExplorer(MODEL, labels=["a"]),
        "no dataset= was given.*class_names=",
        lambda _: kept(
            UnitExplorer(MODEL, class_names=list("abcde"), playing=False, threads=1), lambda e: e.class_names
        ),
        lambda found: found == list("abcde"),
    ),
    "names for other classes": Refusal(
        lambda _: UnitExplorer(MODEL, class_names=["a"], playing=False),
        "5",
        lambda _: kept(
            UnitExplorer(MODEL, class_names=list("abcde"), playing=False, threads=1), lambda e: e.class_names
        ),
    ),
    "a picture before the first": Refusal(
        lambda path: kept(UnitExplorer(MODEL, playing=False, threads=1), lambda e: e.save(path / "x.png")),
        r"wait for one, with explorer\.wait\(\)",
        lambda path: kept(
            UnitExplorer(MODEL, recipe=SHORT, size=32, threads=1),
            lambda e: (e.wait(60), e.save(path / "x.png"), e.image)[2],
        ),
    ),
    "a step before the first": Refusal(
        lambda _: kept(UnitExplorer(MODEL, playing=False, threads=1), lambda e: e.seek(0)),
        "has not made its first one",
        lambda _: kept(
            UnitExplorer(MODEL, recipe=SHORT, size=32, threads=1), lambda e: (e.wait(60), e.seek(1), e.step)[2]
        ),
    ),
    "closed": Refusal(lambda _: closed().restart(), "closed", lambda _: kept(UnitExplorer(MODEL, playing=False), repr)),
    "no such network": Refusal(
        lambda _: UnitExplorer("resnet81"),
        "no network named 'resnet81'.*resnet",
        lambda _: kept(UnitExplorer(playing=False), repr),
    ),
    "two comparisons at once": Refusal(
        lambda _: kept(UnitExplorer(MODEL, playing=False, threads=1), lambda e: e.compare(seeds=[1, 2], units=[1, 2])),
        "one",
        lambda _: kept(UnitExplorer(MODEL, playing=False, threads=1), lambda e: e.compare(seeds=[1, 2])),
    ),
    "a channel of a class": Refusal(
        lambda _: drawn(Channel("forms", -1)), "numbered 0 to 7", lambda _: drawn(Channel("forms", 0))
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSALS)
def test_the_sentence_names_the_cause_and_its_way_out_works(name: str, tmp_path: Path) -> None:
    case = REFUSALS[name]
    with pytest.raises(PeekError, match=case.words) as caught:
        case.refused(tmp_path)
    said = str(caught.value)
    assert said[-1] in ".):" or said.endswith("...")
    assert case.holds(case.way_out(tmp_path))
