"""Where traffic goes and what became of it: routes, binds, outcomes."""
