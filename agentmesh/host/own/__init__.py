"""What is a process's own: its folder, its environment, and the processes that it has started.

The standard library only, so that the supervisor may use it, too, and nothing of the rest of the hosts.
"""
