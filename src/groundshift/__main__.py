"""``python -m groundshift``."""

from groundshift.cli.main import run

if __name__ == "__main__":
    run()
