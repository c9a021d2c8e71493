"""SIP domains: what they are, who may use them, and where their phones are."""
