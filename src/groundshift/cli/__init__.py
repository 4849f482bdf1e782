"""The command line: one module a command, one registry of options."""
