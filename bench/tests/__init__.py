"""Tests of the benchmark's pure parts: `cd bench && python3 -m unittest`."""
