"""Runs that several processes share: the input is read once into a journal, and each performs chunks of it."""
