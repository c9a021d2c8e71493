"""News of what happened: facts read with a cursor."""
