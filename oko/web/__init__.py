"""`oko serve`: the HTTP API and the page, over one open library with its model warm."""
