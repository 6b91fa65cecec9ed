"""The revisions, each in a file of its own: NUMBER_WHAT.py. docs/database.md says how one is made."""
