"""What is made of the facts and can be thrown away: counters by account and day, and sinks."""
