"""The process that is attached to the runner: it owns an app's other processes.  The nursery forks it."""
