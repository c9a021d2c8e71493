"""Strangers driven by scripts: a carrier, a handset, a customer's web app. They meet us over sockets only."""
