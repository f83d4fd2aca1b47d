"""One thin module a command, named after it with a trailing underscore: `add_arguments(parser)` and `run(args, context)`.

The first line of a module's docstring is its help. Heavy imports happen inside `run`.
"""

COMMANDS = (
    "index",
    "search",
    "classify",
    "status",
    "retry",
    "doctor",
    "models",
    "forget",
    "export",
    "import",
    "config",
    "demo",
)
