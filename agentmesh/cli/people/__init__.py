"""Commands about who one is, and who else may be here."""
