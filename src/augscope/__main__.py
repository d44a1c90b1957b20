"""`python -m augscope`: the same as the `augscope` command."""

from augscope.cli import main

if __name__ == "__main__":
    main()
