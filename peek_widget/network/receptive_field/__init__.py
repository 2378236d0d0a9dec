"""Receptive fields: which pixels of the input a place of a layer depends on."""
