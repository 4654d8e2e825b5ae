"""What a user writes, checked before anything starts.

The types in `types.py` and in each sink are the single source: `load.py` reads a file into them and
names everything that is wrong with it, `generate.py` writes the JSON schema, the commented sample
and the tables in the documentation from them.
"""
