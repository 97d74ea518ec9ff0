"""Apps: placed on hosts, restarted, given more hosts and fewer."""
