"""Time and memory against what one would write by hand; `python -m benchmarks` runs all of them."""
