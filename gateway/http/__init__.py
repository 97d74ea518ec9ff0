"""The kernel of a REST call: what came in, who may, what goes out.  Knows no dialect."""
