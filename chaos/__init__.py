"""Faults that a sceptical operator would try on real schedulers; `python -m chaos` runs them and judges the journal."""
