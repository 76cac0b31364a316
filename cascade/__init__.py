"""The cascade: taxonomy, pictures, networks, routing, bundles, training and evaluation.

Knows nothing of queues, databases, command lines or environment variables.
"""
