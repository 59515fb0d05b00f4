"""The web app: a picture, a brush, a completed picture; and the same through HTTP."""
