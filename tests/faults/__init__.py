"""The mesh under seeded faults: `python -m tests.faults --seed 1 --faults 500` (`make faults`); a short form is a test.

A campaign starts a mesh, loads it, and kills, freezes and starves its processes by a plan that its seed decides; then
it counts the promises of the design that were broken.
"""
