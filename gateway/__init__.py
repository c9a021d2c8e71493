"""The daemons: what a user of Trunkline talks to. Below them are carriers and the wire."""
