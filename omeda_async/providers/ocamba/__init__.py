"""Ocamba Hood: campaigns."""
