"""Journey Manager Workspaces: transactions."""
