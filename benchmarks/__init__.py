"""Benchmarks: what the library costs beside the bare tools it is made of. ``python -m benchmarks`` runs them all."""
