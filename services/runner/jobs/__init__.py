"""Jobs from their birth to their end: queued, handed out, told of, paid, halted, started again."""
