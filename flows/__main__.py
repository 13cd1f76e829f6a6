"""`python -m flows retrain --profile smoke`: the same as `ratchet run`."""

from flows.cli import app

if __name__ == "__main__":
    app()
