"""`python -m ci_admin` is `ci-admin`."""

from ci_admin.cli import main

if __name__ == "__main__":
    main()
