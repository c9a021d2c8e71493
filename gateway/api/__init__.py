"""The REST face: one file per resource."""
