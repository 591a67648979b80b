"""The scheduler service: reads job files, runs them, writes the journal."""

__version__ = "0.1.0"
