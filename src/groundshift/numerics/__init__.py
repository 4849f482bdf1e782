"""Verbs on arrays that several subjects share."""
