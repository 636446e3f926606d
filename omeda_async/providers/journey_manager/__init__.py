"""
Journey Manager Workspaces: transactions.
"""
