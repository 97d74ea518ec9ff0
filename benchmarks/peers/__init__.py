"""The mesh beside its peers: `make bench-peers` runs one client against DBOS, LangGraph and us, turn by turn.

Each peer lives in a virtual environment of its own (`installs`), made from the pins beside this file, and runs an app
that does the same work as ours: it takes a text and returns it (`dbos_app.py`, `langgraph_app/`).  A *way* (`ways`) is
how a job is started and asked about; `rounds` measures each way once a round, `contest` compares the rounds.  What is
reported is the median of the ratios of each round, with the smallest and the largest: a machine that is slow for a
while is so for everybody of that round.
"""
