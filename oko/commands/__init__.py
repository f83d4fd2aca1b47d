"""One thin module a command: `add_arguments(parser)` and `run(args, context)`.

It is named after the command with a trailing underscore. The first line of a module's docstring is its help.
Heavy imports happen inside `run`.
"""

COMMANDS = (
    "index",
    "search",
    "classify",
    "tag",
    "watch",
    "serve",
    "generate",
    "duplicates",
    "status",
    "retry",
    "doctor",
    "models",
    "train",
    "forget",
    "export",
    "import",
    "config",
    "demo",
)
