"""Races against the programs that a reader would take instead. `make bench` runs them all."""
