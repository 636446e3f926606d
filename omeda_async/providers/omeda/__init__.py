"""Omeda: e-mail deployments and opt-outs."""
