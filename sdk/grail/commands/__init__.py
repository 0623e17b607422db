"""The verbs of the `grail` command, one module a subject.

Each module has `register(app)`, which adds its verbs to the command. It imports only typer and the
standard library at its top: what is heavy stands inside the verbs, so that `--help` is quick.
"""
