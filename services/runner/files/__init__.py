"""Files of jobs, and those that wait for one."""
