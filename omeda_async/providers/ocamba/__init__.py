"""
Ocamba Hood: campaigns.
"""
