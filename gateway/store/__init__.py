"""Durable state: one port, one backend per database."""
