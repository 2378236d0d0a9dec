"""The image generator of the bundled network: pens, shapes, textures, scenes."""
