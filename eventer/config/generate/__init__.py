"""Files made from the types of the configuration: `python -m eventer.config.generate [--check]`.

A person changes a type, never these files: the JSON schema for editors, the sample with every
option, and the tables of options in the documentation. The daemon never imports this.
"""
