"""The image generator: a pen, the classes (textures, shapes, composed objects), and scenes that show one of them."""
