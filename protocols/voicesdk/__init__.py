"""The signalling of the official browser SDK for calls, version 1.6, without I/O."""
