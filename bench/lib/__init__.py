"""The parts of the benchmark; bench/run.py and bench/curves.py put them together."""
