"""How work runs: processes, locks, progress."""
