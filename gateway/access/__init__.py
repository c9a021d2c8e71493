"""Keys of accounts, and what is signed with them: tokens that let browsers in, and credentials of
a TURN server.
"""
