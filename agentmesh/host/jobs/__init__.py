"""The processes that run jobs: one of a job's own, or a worker that several share.  The zygote forks them."""
