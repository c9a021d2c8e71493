"""What `endpoint` is made of: one module for each kind of socket. Nothing else imports them."""
