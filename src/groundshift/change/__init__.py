"""What changed between two images: kernels on arrays."""
