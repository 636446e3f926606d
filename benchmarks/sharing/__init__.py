"""Several processes on one account that share its limits by a real store, a server that counts, and faults."""
