"""`python -m memenc`: the command line."""

from memenc.cli.main import app

if __name__ == "__main__":
    app(prog_name="memenc")
