"""Layer names of published Caffe models, translated to torchvision's.

Only GoogLeNet's are known here: of the networks in the article it is the one whose names differ from torchvision's.
"""

from __future__ import annotations

import re

__all__ = ["torchvision_name"]

_PLAIN = {
    "conv1/7x7_s2": "conv1",
    "pool1/3x3_s2": "maxpool1",
    "conv2/3x3_reduce": "conv2",
    "conv2/3x3": "conv3",
    "pool2/3x3_s2": "maxpool2",
    "pool3/3x3_s2": "maxpool3",
    "pool4/3x3_s2": "maxpool4",
    "pool5/7x7_s1": "avgpool",
    "loss3/classifier": "fc",
}

# (The "5x5" branch has 3 x 3 kernels in torchvision, a known mistake that its weights depend on.)
_BRANCH = {
    "output": "",
    "1x1": ".branch1",
    "3x3_reduce": ".branch2.0",
    "3x3": ".branch2.1",
    "5x5_reduce": ".branch3.0",
    "5x5": ".branch3.1",
    "pool_proj": ".branch4.1",
}

_MODULE = re.compile(r"inception_(3[ab]|4[a-e]|5[ab])/(\w+)")


def torchvision_name(published: str) -> str | None:
    """Return torchvision's name of a layer of the GoogLeNet that Szegedy et al. published; None if there is none.

    >>> torchvision_name("inception_4c/output")
    'inception4c'
    """
    found = _MODULE.fullmatch(published)
    if found is None:
        return _PLAIN.get(published)
    branch = _BRANCH.get(found[2])
    return None if branch is None else f"inception{found[1]}{branch}"
