"""Tools for the maintainers of the bundled network: train it, test its pictures, write its model card."""
