"""Dataset examples next to the drawn picture: the background pass, its crops, the comparison of activations."""
