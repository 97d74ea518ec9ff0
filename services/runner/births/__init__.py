"""The ways to a job: what may be launched, by whom, with which inputs."""
