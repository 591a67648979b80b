"""The admin service: job files in, the scheduler's logs out, a page in front. It never imports the scheduler."""

__version__ = "0.1.0"
