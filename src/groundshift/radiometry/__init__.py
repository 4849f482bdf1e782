"""From stored values to comparable reflectance."""
