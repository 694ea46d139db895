"""Planes of an image stack, whatever it is of: their rows, their pictures, which are wanted."""
