"""Where `ci-admin` starts; `python -m ci_admin` is the same."""

from ci_common.installation import needing


def main() -> None:
    """Run the command, or say what to install where there is only the client."""
    with needing("server", "ci-admin"):
        from ci_admin.cli import main as run
    run()


if __name__ == "__main__":
    main()
