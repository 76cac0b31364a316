"""The cascade: taxonomy, pictures, networks, routing, bundles, training and evaluation.

It does not depend on queues, databases, command lines or environment variables.
"""
