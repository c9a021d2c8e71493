"""The message path: accept, dispatch, settle, receive."""
