"""Requests to customers' URLs: signed, guarded, bounded in time and size, tried again as asked."""
