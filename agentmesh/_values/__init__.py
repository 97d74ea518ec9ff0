"""Values that leave a job, as JSON and as what people can look at."""
