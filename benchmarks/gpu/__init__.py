"""What a rented GPU shows in a few minutes: `python -m benchmarks.gpu`. See docs/benchmarks.md."""
