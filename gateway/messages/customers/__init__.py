"""Customers' binds: our SMPP server, where what REST takes is taken as submit_sm."""
