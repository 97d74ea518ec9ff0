"""The runner: jobs and their logs, hosts and the apps placed on them."""
