"""GoogLeNet's layers by the names of the paper and of its Caffe model."""

import pytest
import torchvision

from peek_widget import Neuron, layers
from peek_widget.ascent import Ascent
from peek_widget.errors import LayerError
from peek_widget.network import read

# From deploy.prototxt of bvlc_googlenet, with the channels that Szegedy et al. 2014 give in table 1.
PUBLISHED = {
    "conv1/7x7_s2": 64,
    "conv2/3x3_reduce": 64,
    "conv2/3x3": 192,
    "inception_3a/output": 256,
    "inception_3b/1x1": 128,
    "inception_4a/3x3_reduce": 96,
    "inception_4a/3x3": 208,
    "inception_4c/output": 512,
    "inception_4d/5x5_reduce": 32,
    "inception_4d/5x5": 64,
    "inception_5b/pool_proj": 128,
    "inception_5b/output": 1024,
    "pool5/7x7_s1": 1024,
    "loss3/classifier": 1000,
}


@pytest.fixture(scope="module")
def googlenet():
    return read(torchvision.models.googlenet(weights=None, init_weights=False))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_name_finds_a_layer_of_the_published_size(name, googlenet):
    assert googlenet.layer(name).channels == PUBLISHED[name]


def test_it_is_drawn_by_that_name(googlenet):
    ascent = Ascent(googlenet, Neuron("inception_4c/output", 10), "oygard-2016-googlenet", size=96)
    ours = Ascent(googlenet, Neuron("inception4c", 10), "oygard-2016-googlenet", size=96)
    assert ascent.step().images.equal(ours.step().images)


@pytest.mark.parametrize("name", ["inception_4c/7x7", "inception_6a/output", "pool9", "loss1/classifier"])
def test_a_name_that_is_not_there_is_refused_with_similar_names(name, googlenet):
    with pytest.raises(LayerError, match="near names"):
        googlenet.layer(name)


@pytest.mark.slow
def test_another_network_has_its_own_names_only():
    network = torchvision.models.resnet18(weights=None)
    assert "conv1" in [layer.name for layer in layers(network)]
    with pytest.raises(LayerError):
        read(network).layer("conv1/7x7_s2")
