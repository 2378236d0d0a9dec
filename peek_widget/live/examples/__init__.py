"""Dataset examples beside the drawn picture: the background pass, its crops, the comparison of activations."""
