"""Journals: what remembers a bulk run, so that the same call resumes it."""
