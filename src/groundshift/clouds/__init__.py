"""What of a scene is usable."""
