"""The process that answers for an app: its pages, its forms, its locks.  The zygote forks it, the host asks it."""
