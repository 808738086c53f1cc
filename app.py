"""WSGI entry for any server: ``granian --interface wsgi app:app``. `scrm web` builds the same application."""

from scrm.bootstrap import create_app

app = create_app()
