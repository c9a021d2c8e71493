"""Strangers driven by scripts as data: a carrier with its handsets, a customer, a web app."""
