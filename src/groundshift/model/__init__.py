"""Nouns: frozen, without pixels."""
