"""What changed between two Sentinel-2 images, with the evidence."""

__version__ = "0.1.0"
