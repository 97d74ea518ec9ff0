"""Every element a form can have, in six flows."""
