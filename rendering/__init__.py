"""Values as text for people: HTML pages from templates, aligned tables for a terminal.

Every room may import this one; it imports none.
"""
