"""Receptive fields: the part of the input that a position of a layer's feature map depends on.

- :mod:`~peek_widget.network.receptive_field.axes`: which dimension of a tensor has the image's rows and columns;
- :mod:`~peek_widget.network.receptive_field.spans`: which rows of the input each row of a map depends on;
- :mod:`~peek_widget.network.receptive_field.functions`: what is known of torch's functions;
- :mod:`~peek_widget.network.receptive_field.field`: the field of a tensor, and what functions of one tensor make of it;
- :mod:`~peek_widget.network.receptive_field.combined`: what functions of several tensors make of theirs;
- :mod:`~peek_widget.network.receptive_field.tracer`: the field of every tensor of a forward;
- :mod:`~peek_widget.network.receptive_field.layout`: how a module's output is brought to ``[N, C, H, W]``;
- :mod:`~peek_widget.network.receptive_field.field_map`: the field of each position as a box in the input;
- :mod:`~peek_widget.network.receptive_field.effective`: the part of it that has influence, on one image.
"""
