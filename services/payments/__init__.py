"""The payments service: what each job is to be paid with, recorded before anything else happens."""
