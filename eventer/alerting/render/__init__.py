"""From a notification to the text of a message: what is said (`words`), and how each dialect writes it.

A dialect decides on escaping, limits and layout, never on what is said: that is the same everywhere.
"""
