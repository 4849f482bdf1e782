"""Shipped with the package: synthetic scenes with known truth, and real SAFE products of them."""
