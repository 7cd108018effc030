"""A walk through `asgi_session` in five pages: start it with ``python -m demo`` and open the address that it prints."""
