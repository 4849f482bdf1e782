"""Many scenes to one picture: which scenes, which pixel, one colour, no seam."""
