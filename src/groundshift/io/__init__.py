"""Bytes to arrays and back: the only package that opens rasters and vectors."""
