"""The panel's parts by themselves."""
