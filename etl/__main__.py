"""`python -m etl` is the command `sightglass`: signals are obeyed while its modules are still imported."""

from etl import process


def main() -> None:
    """Run the command and leave with one of the exit codes that the README explains."""
    with process.stoppable():
        from etl.cli import main as command  # noqa: PLC0415 -- takes long enough to be told to stop

        command()


if __name__ == "__main__":
    main()
