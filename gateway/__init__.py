"""The daemons: what a user of Trunkline talks to. Above it nothing; below it carriers and the wire."""
