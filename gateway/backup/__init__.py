"""Backup and restore: everything a store holds as one file that any store can take."""
