"""Benchmarks: ratios from interleaved runs against a private Redis; see README.md."""
